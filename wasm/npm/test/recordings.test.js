// The recordings of real balancers: their steps through the package's API, and all of them replayed inside the module.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { Balancer } from '@nacrite/core'

const START_MS = 1_000_000
const ZONE_AWARE = 'com.netflix.loadbalancer.ZoneAwareLoadBalancer+'
const PREDICATE = 'com.netflix.loadbalancer.PredicateBasedRule'

const folder = process.env.RECORDINGS
const documents = readdirSync(folder).filter((name) => name.endsWith('.json')).sort()
  .map((name) => readFileSync(join(folder, name), 'utf8'))

/** The policy that a recorded configuration stands for. */
function balancerOf(document) {
  const { rule, config, steps } = document
  const policy = {
    rule: rule === PREDICATE ? 'round-robin' : rule.replace(ZONE_AWARE, ''),
    mode: 'exact',
    ribbon: { zoneAware: document.balancer === 'zone_aware' },
  }
  if (document.max_retry_ms !== undefined) policy.retry = { windowMs: document.max_retry_ms }
  // The sub-rule of a retry was passed by constructor; only the random one draws.
  if (rule.endsWith('RetryRule') && steps.some((step) => step.draws)) policy.subRule = 'random'
  return new Balancer(policy, { seed: 6, service: 'golden', properties: config ?? {} })
}

/** The recorded draws; asking for others is an error. */
function script(draws = []) {
  const left = (draws ?? []).map(({ type, bound, value }) => ({ bound: type === 'unit' ? 0 : bound, value }))
  const draw = (bound) => {
    const next = left.shift()
    assert.equal(bound, next?.bound, 'the bound of a draw')
    return next.value
  }
  return { draw, left }
}

/** Plays a trace; how many answers were compared. */
function play(document) {
  const balancer = balancerOf(document)
  const probes = document.reachable === 'alive_at_last_ping'
  const servers = document.servers.map(({ id, zone }) => ({ id, zone: zone ?? undefined, alive: true, answers: true, reached: true }))
  let list = servers.map((_, server) => server)
  let now = START_MS
  let compared = 0
  const publish = () => balancer.update(
    list.map((server) => servers[server]),
    { now, ...(probes && { reachable: list.map((server) => servers[server].reached) }) },
  )
  const flag = (server, name, on) => {
    servers[server][name] = on
    const index = list.indexOf(server)
    if (index >= 0) assert.ok(balancer.setFlag(index, name, on))
  }
  const predicate = (key) => ({ id }) => (Number(id.split(':')[0].split('.').at(-1)) % 2 === 1) === (key === undefined)
  const choose = (hints) => {
    const index = document.rule === PREDICATE ? balancer.chooseWhere(predicate(hints?.key), now) : balancer.choose(hints, now)
    assert.equal(index < 0, balancer.why !== undefined)
    return index < 0 ? null : list[index]
  }
  const times = (count, act) => { for (let n = 0; n < count; n++) act() }
  const steps = {
    choose({ count, key, draws, expect }) {
      const { draw, left } = script(draws)
      const got = Array.from({ length: count }, () => choose({ draw, key }))
      assert.deepEqual(got, expect)
      assert.equal(left.length, 0, 'every recorded draw is taken')
      compared += count
    },
    choose_many({ count, observed, observed_none: none, tolerance_abs: tolerance }) {
      const counts = new Array(servers.length + 1).fill(0)
      times(count, () => counts[choose() ?? servers.length]++)
      const total = [...observed, none].reduce((sum, n) => sum + n)
      ;[...observed, none].forEach((n, place) => {
        assert.ok(Math.abs(counts[place] / count - n / total) <= tolerance, `share of ${place}: ${counts}`)
      })
      compared++
    },
    set_alive: ({ server, value }) => flag(server, 'alive', value),
    set_ready: ({ server, value }) => flag(server, 'ready', value),
    ping_result: ({ server, value }) => { servers[server].answers = value },
    ping() {
      for (const server of servers) server.alive = server.reached = server.answers
      publish()
    },
    set_servers({ servers: next }) {
      list = next
      if (!probes) for (const server of list) servers[server].alive = true
      publish()
    },
    request_start: ({ server, count }) => times(count, () => balancer.startId(servers[server].id, now)),
    request_success: ({ server, response_ms: responseMs }) => balancer.finishId(servers[server].id, 0, { responseMs, now }),
    connection_failure: ({ server, count }) => times(count, () => balancer.noteFailure(servers[server].id, now)),
    response_times: ({ server, ms }) => ms.forEach((one) => balancer.noteResponse(servers[server].id, one)),
    advance_ms: ({ value }) => { now += value },
    maintain_weights({ expect_cumulative: expected }) {
      const got = balancer.maintainWeights()
      if (got === undefined) return
      assert.equal(got.length, expected.length)
      got.forEach((weight, n) => assert.ok(Math.abs(weight - expected[n]) <= 1e-14 * Math.abs(expected[n])))
      compared += got.length
    },
  }
  publish()
  for (const step of document.steps) steps[step.op](step)
  balancer.free()
  return compared
}

const traces = documents.map((text) => JSON.parse(text)).filter(({ steps }) => steps)

test('the steps of every trace give what was recorded', async (t) => {
  assert.equal(traces.length, 78)
  for (const trace of traces) await t.test(trace.id, () => assert.ok(play(trace) > 0))
})

test('a trace with another answer is refused', () => {
  const wrong = structuredClone(traces.find(({ id }) => id === 'rr-three-servers'))
  wrong.steps[0].expect[0] = 2
  assert.throws(() => play(wrong), assert.AssertionError)
})

test('all recordings pass inside the module', async (t) => {
  const { initSync, replay } = await import(new URL('engine.js', process.env.PACKAGE_WITH_RECORDINGS))
  initSync({ module: readFileSync(new URL('engine_bg.wasm', process.env.PACKAGE_WITH_RECORDINGS)) })
  assert.equal(documents.length, 101)
  for (const document of documents) {
    await t.test(JSON.parse(document).id, () => assert.ok(replay(document, true) > 0))
  }
  const wrong = documents.find((text) => text.includes('"rr-three-servers"')).replace('"expect" : [1', '"expect" : [2')
  assert.throws(() => replay(wrong, true))
})
