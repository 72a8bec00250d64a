// Nanoseconds of CPU a call, for each kind of call: `node bench.js [ROWS…]`. The least of several rounds.
import { cpus } from 'node:os'

import { Balancer, keyHash } from '@nacrite/core'

const ROUNDS = 7
const ROUND_MS = 120

/** The process's own time in ns: how busy the machine is else does not matter to it. */
const spent = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

/** The least time of one call, by rounds of as many calls as take a while. */
export function measure(call) {
  let times = 64
  let best = Infinity
  for (let round = -2; round < ROUNDS; ) {
    const from = spent()
    for (let n = 0; n < times; n++) call(n)
    const ns = Math.max(1, spent() - from)
    if (ns < ROUND_MS * 1e6 && times < 1e9) times = Math.ceil(times * Math.min(8, (1.2 * ROUND_MS * 1e6) / ns))
    else {
      // The first rounds are for the compiler.
      if (round >= 0) best = Math.min(best, ns / times)
      round++
    }
  }
  return best
}

export const list = (count) => Array.from({ length: count }, (_, n) => ({
  ip: `10.0.${n >> 8}.${n & 255}`, port: 8080, weight: 1 + (n % 5), zone: `z${n % 3}`, clusterName: `c${n % 3}`,
}))

function balancer(rule, count) {
  const made = new Balancer(rule, { seed: 1 })
  made.update(list(count), { now: 1 })
  return made
}

const rows = [
  ['start + finish', () => {
    const b = balancer('p2c-ewma', 100)
    return (n) => b.finish(b.start(n % 100, 5), 0, { responseMs: 5, now: 10 })
  }],
  ['choose, with the clock', () => {
    const b = balancer('p2c-ewma', 100)
    return () => b.choose()
  }],
  ...['round-robin', 'p2c-ewma', 'nacos-weighted', 'maglev'].flatMap((rule) => [10, 100, 1000].map((count) => [
    `choose, ${rule}, ${count} instances`, () => {
      const b = balancer(rule, count)
      return () => b.choose(undefined, 5)
    },
  ])),
  ['choose by a key', () => {
    const b = balancer('maglev', 100)
    return () => b.choose({ key: 'tenant-7' }, 5)
  }],
  ['choose by its hash', () => {
    const b = balancer('maglev', 100)
    const hints = { keyHash: keyHash('tenant-7') }
    return () => b.choose(hints, 5)
  }],
  ['choose with hint, label and tried', () => {
    const b = balancer('round-robin', 100)
    const hints = { hint: 'blue', label: ['version', '2'], tried: [1, 2] }
    return () => b.choose(hints, 5)
  }],
  ['open, id and finish', () => {
    const b = balancer('p2c-ewma', 100)
    return () => b.open().finish()
  }],
  ...[10, 100, 1000].flatMap((count) => [
    [`update by JSON text, ${count} instances`, () => {
      const b = balancer('round-robin', count)
      const text = JSON.stringify(list(count))
      return () => b.update(text, { now: 5 })
    }],
    [`update by objects, ${count} instances`, () => {
      const b = balancer('round-robin', count)
      const objects = list(count)
      return () => b.update(objects, { now: 5 })
    }],
  ]),
  ['instances (JSON text, parsed), 100 of them', () => {
    const b = balancer('round-robin', 100)
    return () => {
      b.setFlag(0, 'healthy', true)
      return b.instances.length
    }
  }],
  ['register one of 10', () => {
    const b = balancer('round-robin', 10)
    const [one] = list(1)
    return () => b.register(one, 5)
  }],
  ['a policy out', () => {
    const b = balancer('round-robin', 1)
    return () => b.policy
  }],
  ['a policy in', () => {
    const b = balancer('round-robin', 1)
    const policy = { rule: 'round-robin', zone: 'za' }
    return () => b.setPolicy(policy, 5)
  }],
  ['a policy refused', () => () => {
    try {
      new Balancer('round-robbin', { seed: 1 })
    } catch (why) {
      return why
    }
  }],
  ['report of 100', () => {
    const b = balancer('p2c-ewma', 100)
    return () => b.report(5)
  }],
]

const wanted = process.argv.slice(2)
console.log(`node ${process.version}, ${cpus()[0]?.model}; ns of CPU a call, the least of ${ROUNDS} rounds`)
for (const [name, make] of rows) {
  if (wanted.length > 0 && !wanted.some((row) => name.startsWith(row))) continue
  console.log(`${name.padEnd(44)} ${measure(make()).toFixed(1).padStart(12)}`)
}
