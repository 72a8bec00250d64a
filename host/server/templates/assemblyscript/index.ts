// A load-balancing rule: of the instances that can be served from, the one with fewest requests under way.

const RECORD: usize = 64
const SERVING: u32 = 15
const WANTED: u32 = SERVING | 16 | 32 | 128 | 512

let table: usize = 0
let count: u32 = 0
let pending: usize = 0

export function lb_abi(): i32 { return 1 }

export function lb_alloc(length: i32): i32 {
  if (pending) heap.free(pending)
  pending = length > 0 ? heap.alloc(length) : 0
  return pending as i32
}

export function lb_init(at: i32, length: i32): i32 { return 0 }

export function lb_error(): i64 { return 0 }

export function lb_update(at: i32, records: i32, epoch: i64): i32 {
  if (table) heap.free(table)
  table = at
  pending = 0
  count = records
  return 0
}

export function lb_choose(keyHash: i64, rand: i64, nowMs: i64, flags: i32): i32 {
  let best: i32 = -1
  let fewest: u32 = u32.MAX_VALUE
  for (let i: u32 = 0; i < count; i++) {
    // Begins elsewhere each time, so that a tie is not always the first one's.
    const at = ((rand as u64 + i) % count) as u32
    const record = table + (at as usize) * RECORD
    const usable = (load<u32>(record, 32) & WANTED) == SERVING && load<f64>(record, 8) > 0
    const active = load<u32>(record, 36)
    if (usable && active < fewest) {
      best = at
      fewest = active
    }
  }
  return best
}
