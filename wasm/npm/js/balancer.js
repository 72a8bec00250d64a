import { Engine } from './engine.js'
import { guarded, NoInstanceError, Outcome, reasonOf } from './errors.js'

const FLAGS = { alive: 1, ready: 2, healthy: 4, enabled: 8, tripped: 16, ejected: 32 }

/** Ms of a clock that never goes back, and never 0, which the rules take for "from the beginning". */
const clock = () => performance.now() + 1

const anySeed = () => crypto.getRandomValues(new BigUint64Array(1))[0]

export class Balancer {
  #engine
  #listed
  #why

  constructor(policy, { seed = anySeed(), service = '', properties } = {}) {
    this.#engine = guarded(() =>
      properties === undefined
        ? new Engine(policy, BigInt(seed))
        : Engine.withProperties(policy, service, properties, BigInt(seed)),
    )
  }

  get policy() {
    return this.#engine.policy()
  }

  setPolicy(policy, now = clock()) {
    guarded(() => this.#engine.setPolicy(policy, now))
  }

  update(list, { now = clock(), reachable } = {}) {
    this.#listed = undefined
    if (list instanceof Uint8Array && reachable === undefined) {
      return guarded(() => this.#engine.updateBytes(list, now))
    }
    const text =
      typeof list === 'string' ? list
      : list instanceof Uint8Array ? new TextDecoder().decode(list)
      : (JSON.stringify(list) ?? '')
    const reached = reachable && Uint8Array.from(reachable, Number)
    return guarded(() => this.#engine.update(text, now, reached))
  }

  register(instance, now = clock()) {
    this.#listed = undefined
    return guarded(() => this.#engine.register(instance, now))
  }

  deregister(id, now = clock()) {
    this.#listed = undefined
    return this.#engine.deregister(id, now)
  }

  get epoch() {
    return this.#engine.epoch()
  }

  get size() {
    return this.#engine.size()
  }

  get instances() {
    return (this.#listed ??= JSON.parse(this.#engine.instances()))
  }

  id(index) {
    return this.#engine.id(index)
  }

  indexOf(id) {
    return this.#engine.indexOf(id)
  }

  setFlag(index, flag, on) {
    this.#listed = undefined
    if (!Object.hasOwn(FLAGS, flag)) throw new TypeError(`no flag is called ${flag}: ${Object.keys(FLAGS).join(', ')}`)
    return this.#engine.setFlag(index, FLAGS[flag], on)
  }

  #chosen(answer) {
    this.#why = answer
    return answer < 0 ? -1 : answer
  }

  choose(hints, now = clock()) {
    if (hints === undefined) return this.#chosen(this.#engine.choose(now))
    const { key, keyHash, hint, label, tried, draw } = hints
    if (draw !== undefined) return this.#chosen(this.#engine.chooseDrawn(now, key, draw))
    if (hint === undefined && label === undefined && tried === undefined) {
      if (keyHash !== undefined) return this.#chosen(this.#engine.chooseHash(now, keyHash))
      if (key !== undefined) return this.#chosen(this.#engine.chooseKey(now, key))
      return this.#chosen(this.#engine.choose(now))
    }
    const [name, value] = label ?? []
    return this.#chosen(this.#engine.chooseWith(now, key, hint, name, value, new Uint32Array(tried ?? 0)))
  }

  chooseWhere(passes, now = clock()) {
    const instances = this.instances
    return this.#chosen(this.#engine.chooseWhere(now, (index) => passes(instances[index], index)))
  }

  get why() {
    return this.#why < 0 ? reasonOf(this.#why) : undefined
  }

  start(index, now = clock()) {
    return this.#engine.start(index, now)
  }

  finish(ticket, outcome = Outcome.success, { responseMs = NaN, retryAfterMs = NaN, now = clock() } = {}) {
    return this.#engine.finish(ticket, outcome, responseMs, retryAfterMs, now)
  }

  open(hints, now = clock()) {
    const index = this.choose(hints, now)
    if (index < 0) throw new NoInstanceError(this.why)
    return new Call(this, index, this.#engine.start(index, now))
  }

  openId(id, now = clock()) {
    const index = this.#engine.indexOf(id)
    if (index < 0) throw new NoInstanceError('no-match')
    return new Call(this, index, this.#engine.start(index, now))
  }

  startId(id, now = clock()) {
    return this.#engine.startId(id, now)
  }

  finishId(id, outcome = Outcome.success, { responseMs = NaN, now = clock() } = {}) {
    return this.#engine.finishId(id, outcome, responseMs, now)
  }

  noteFailure(id, now = clock()) {
    return this.#engine.noteFailure(id, now)
  }

  noteResponse(id, responseMs) {
    return this.#engine.noteResponse(id, responseMs)
  }

  maintainWeights() {
    return this.#engine.maintainWeights()
  }

  report(now = clock()) {
    return JSON.parse(this.#engine.report(now))
  }

  free() {
    this.#engine.free()
  }
}

export class Call {
  #balancer
  #ticket

  constructor(balancer, index, ticket) {
    this.#balancer = balancer
    this.#ticket = ticket
    this.index = index
    this.id = balancer.id(index)
  }

  finish(outcome, times) {
    return this.#balancer.finish(this.#ticket, outcome, times)
  }
}
