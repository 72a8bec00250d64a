// A host of load-balancing plugins in Node: plays transcripts against a module.
import { readFileSync } from 'node:fs'

const STEP = 0xd1342543de82ef95n

/** Writes instances (id hash weight joined zone cluster flags) as wasm/ABI.md lays them out. */
function table(rows) {
  const texts = ['']
  const text = word => (word === '-' ? 0 : texts.push(word) - 1)
  const records = Buffer.alloc(64 * rows.length)
  rows.forEach(([id, hash, weight, joined, zone, cluster, flags], i) => {
    const record = records.subarray(64 * i)
    record.writeBigUInt64LE(BigInt(hash), 0)
    record.writeDoubleLE(Number(weight === 'inf' ? 'Infinity' : weight), 8)
    record.writeBigUInt64LE(BigInt(joined), 16)
    record.writeUInt32LE(text(zone), 24)
    record.writeUInt32LE(text(cluster), 28)
    record.writeUInt32LE(Number(flags), 32)
    record.writeUInt32LE(text(id), 56)
  })
  const bytes = texts.map(word => Buffer.from(word))
  const head = Buffer.alloc(8 + 8 * texts.length)
  let at = records.length + head.length
  bytes.forEach((word, i) => {
    head.writeUInt32LE(at, 8 + 8 * i)
    head.writeUInt32LE(word.length, 12 + 8 * i)
    at += word.length
  })
  head.writeUInt32LE(at - records.length, 0)
  head.writeUInt32LE(texts.length, 4)
  return Buffer.concat([records, head, ...bytes])
}

/** One instance of a plugin. */
class Guest {
  constructor(module) {
    this.lb = new WebAssembly.Instance(module, {}).exports
  }
  write(at, data) {
    new Uint8Array(this.lb.memory.buffer).set(data, at >>> 0)
  }
  place(data) {
    const at = this.lb.lb_alloc(data.length)
    this.write(at, data)
    return at
  }
}

const module = new WebAssembly.Module(readFileSync(process.argv[2]))
const lines = readFileSync(process.argv[3], 'utf8').split('\n')
let guest, at, passed = 0, failed = 0
const expect = (got, wanted, line) => {
  if (BigInt(got) === BigInt(wanted)) passed++
  else if (++failed < 10) console.log(`expected ${wanted}, got ${got}: ${line}`)
}
for (let n = 0; n < lines.length; n++) {
  const line = lines[n]
  const [op, ...f] = line.split(' ')
  if (op === 'init') {
    guest = new Guest(module)
    const config = Buffer.from(line.slice(5))
    expect(guest.lb.lb_init(guest.place(config), config.length), 0, line)
  } else if (op === 'list') {
    const rows = lines.slice(n + 1, n + 1 + Number(f[1])).map(row => row.split(' ').slice(1))
    n += rows.length
    at = guest.place(table(rows))
    expect(guest.lb.lb_update(at, rows.length, BigInt(f[0])), 0, line)
  } else if (op === 'flags') {
    const word = Buffer.alloc(4)
    word.writeUInt32LE(Number(f[1]))
    guest.write(at + 64 * Number(f[0]) + 32, word)
  } else if (op === 'draws') {
    const script = Buffer.from(f[0] === '-' ? '' : f[0], 'hex')
    expect(guest.lb.lb_draws(guest.place(script), script.length), f[1], line)
  } else if (op === 'pick') {
    expect(guest.lb.lb_choose(BigInt(f[0]), BigInt(f[1]), BigInt(f[2]), Number(f[3])), f[4], line)
  } else if (op === 'many') {
    let rand = BigInt(f[1]), sum = 0n
    for (let i = 0; i < Number(f[0]); i++) {
      sum += BigInt(((i % 1000) + 1) * (guest.lb.lb_choose(0n, rand, BigInt(f[2]), 0) + 2))
      rand = BigInt.asUintN(64, rand + STEP)
    }
    expect(BigInt.asUintN(64, sum), f[3], line)
  } else if (op === 'start') {
    guest.lb.lb_start(Number(f[0]), BigInt(f[1]))
  } else if (op === 'report') {
    guest.lb.lb_report(Number(f[0]), Number(f[1]), BigInt(f[2]), BigInt(f[3]))
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(Math.min(failed, 1))
