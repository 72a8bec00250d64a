// Nanoseconds of CPU a pick by the package for npm: `node node.mjs PACKAGE RULES SIZE…` prints a line `RULE SIZE NS` for each.
import { pathToFileURL } from 'node:url'

const [entry, rules, ...sizes] = process.argv.slice(2)
const { Balancer } = await import(pathToFileURL(entry))

const ROUNDS = 40
const ROUND_NS = 2_000_000

const list = (count) => Array.from({ length: count }, (_, n) => ({
  ip: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, port: 8080, weight: 1 + (n % 5), zone: `z${'abc'[n % 3]}`, clusterName: 'DEFAULT',
}))

/** The least of short rounds, as the program that starts this one measures. */
function measure(call) {
  let calls = 1
  let best = Infinity
  const began = process.hrtime.bigint()
  for (let round = -10; round < ROUNDS && (round < 1 || process.hrtime.bigint() - began < 3_000_000_000n); ) {
    const from = process.hrtime.bigint()
    for (let n = 0; n < calls; n++) call(n)
    const ns = Number(process.hrtime.bigint() - from)
    if (ns < ROUND_NS / 2 && calls < 1 << 24) calls *= 2
    else {
      // The first rounds are for the compiler.
      if (round >= 0) best = Math.min(best, ns / calls)
      round++
    }
  }
  return best
}

for (const rule of rules.split(',')) {
  for (const size of sizes.map(Number)) {
    const balancer = new Balancer(rule, { seed: 1 })
    balancer.update(list(size), { now: 1 })
    for (const { id } of balancer.instances) {
      balancer.startId(id, 2)
      balancer.finishId(id, 0, { responseMs: 10, now: 3 })
    }
    balancer.maintainWeights()
    console.log(`${rule} ${size} ${measure(() => balancer.choose(undefined, 1_000_000))}`)
    balancer.free()
  }
}
