import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import {
  Balancer, InstancesError, NacriteError, NoInstanceError, Outcome, PolicyError, keyHash, ruleNames,
} from '@nacrite/core'

const three = [1, 2, 3].map((n) => ({ ip: `10.0.0.${n}`, port: 8080 }))
const listed = (policy, list = three) => {
  const balancer = new Balancer(policy, { seed: 1 })
  balancer.update(list, { now: 1 })
  return balancer
}

test('a rule that is not known is an error with the nearest names', () => {
  assert.throws(() => new Balancer('round-robbin'), (why) => {
    assert.ok(why instanceof PolicyError && why instanceof NacriteError && why instanceof Error)
    assert.equal(why.name, 'PolicyError')
    assert.equal(why.field, 'rule')
    assert.equal(why.nearest[0], 'round-robin')
    assert.match(why.message, /round-robbin.*nearest/)
    return true
  })
  assert.throws(() => new Balancer({ rul: 'random' }), { name: 'PolicyError', message: /rul/ })
  assert.throws(() => new Balancer({ panicShare: 2 }), { name: 'PolicyError', field: 'panicShare' })
  assert.throws(() => new Balancer(7), PolicyError)
  assert.throws(() => new Balancer(undefined, { properties: { 'ribbon.NFLoadBalancerRuleClassName': 'No' } }), PolicyError)
  assert.ok(ruleNames().includes('p2c-ewma'))
})

test('policies cross whole, and one that is refused changes nothing', () => {
  const balancer = listed({ rule: 'p2c-ewma', ewma: { decayMs: 500 }, locality: { weights: { za: 2 } }, zone: undefined })
  assert.equal(balancer.policy.ewma.decayMs, 500)
  assert.deepEqual(balancer.policy.locality.weights, { za: 2 })
  balancer.setPolicy(balancer.policy)
  assert.throws(() => balancer.setPolicy({ rule: 'maglev', hashing: { table: 4 } }), { field: 'hashing.table' })
  assert.equal(balancer.policy.rule, 'p2c-ewma')
  balancer.setPolicy('random')
  assert.deepEqual([balancer.policy.rule, balancer.size], ['random', 3])
  assert.equal(new Balancer().policy.rule, 'zone-avoidance')
})

test('the types know every field of a policy', () => {
  const types = readFileSync(new URL('index.d.ts', process.env.PACKAGE), 'utf8')
  const fields = (value) => Object.entries(value ?? {}).flatMap(([name, inner]) =>
    name === 'weights' ? [name] : [name, ...(typeof inner === 'object' ? fields(inner) : [])])
  const whole = new Balancer({ outlier: {}, slowStart: {}, label: { name: 'a', value: 'b' } }).policy
  const missing = fields(whole).filter((name) => !new RegExp(`\\b${name}\\?*:`).test(types))
  assert.deepEqual(missing, [])
  assert.ok(fields(whole).length > 50)
})

test('lists are read as text, bytes and objects, and of servers of every generation', () => {
  const json = JSON.stringify(three)
  const ids = ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8080']
  for (const list of [three, json, new TextEncoder().encode(json), `{"hosts":${json}}`, `{"code":0,"data":${json}}`,
    `{"code":0,"data":{"hosts":${json}}}`]) {
    assert.deepEqual(listed('random', list).instances.map(({ id }) => id), ids)
  }
  const balancer = listed('random', [{ id: 'a:1', weight: Infinity, healthy: false, metadata: { zone: 'z' }, clusterName: 'c' }])
  assert.deepEqual(balancer.instances, [{
    id: 'a:1', zone: 'z', clusterName: 'c', weight: 1, healthy: false, enabled: true, alive: true, ready: true, metadata: { zone: 'z' },
  }])
})

test('a list that is none is refused, and the one before stays', () => {
  const balancer = listed('round-robin')
  for (const list of ['', '[1]', '{}', [{ ip: '10.0.0.1' }], undefined, null]) {
    assert.throws(() => balancer.update(list), InstancesError, String(list))
  }
  assert.throws(() => balancer.update(three, { reachable: [true] }), InstancesError)
  assert.equal(balancer.size, 3)
  assert.ok(balancer.choose() >= 0)
})

test('numbers by the hot calls: turns are taken, feedback is counted, a ticket is good once', () => {
  const balancer = listed('round-robin')
  assert.deepEqual([0, 0, 0, 0].map(() => balancer.choose()), [1, 2, 0, 1])
  const tickets = [balancer.start(1, 10), balancer.start(1, 10), balancer.start(2, 10)]
  assert.equal(new Set(tickets).size, 3)
  assert.deepEqual(balancer.report(10).map(({ active }) => active), [0, 2, 1])
  assert.ok(balancer.finish(tickets[0], Outcome.success, { now: 30 }))
  assert.ok(!balancer.finish(tickets[0]))
  assert.ok(!balancer.finish(0) && !balancer.finish(2 ** 30))
  assert.ok(balancer.finish(tickets[1], Outcome.circuitFailure, { responseMs: 50, now: 60 }))
  const [, second] = balancer.report(60)
  assert.deepEqual([second.active, second.ended, second.meanMs, second.maxMs, second.failureRun], [0, 2, 35, 50, 1])
  assert.equal(balancer.start(3), 0)
  assert.ok(balancer.finish(tickets[2]), 'a ticket outlives a list')
})

test('a ticket outlives its list, and statistics those of it that stay', () => {
  const balancer = listed('least-active')
  const call = balancer.open()
  assert.equal(call.id, '10.0.0.1:8080')
  balancer.update(three.toReversed())
  assert.deepEqual(balancer.report().map(({ active }) => active), [0, 0, 1])
  assert.equal(balancer.open().id, '10.0.0.3:8080')
  assert.ok(call.finish())
  assert.ok(!call.finish())
  assert.equal(balancer.openId('10.0.0.2:8080').index, 1)
  assert.throws(() => balancer.openId('nobody:1'), NoInstanceError)
})

test('instances come and go one at a time, and change in place', () => {
  const balancer = new Balancer('round-robin')
  assert.equal(balancer.choose(), -1)
  assert.equal(balancer.why, 'no-instances')
  assert.throws(() => balancer.open(), { name: 'NoInstanceError', reason: 'no-instances' })
  assert.equal(balancer.register({ ip: '::1', port: 80 }), 0)
  assert.equal(balancer.register({ id: 'b:1', weight: 2 }), 1)
  assert.ok(balancer.setFlag(0, 'healthy', false))
  assert.ok(!balancer.setFlag(2, 'healthy', false))
  assert.throws(() => balancer.setFlag(0, 'well', false), TypeError)
  assert.equal(balancer.register({ id: 'b:1', weight: 3 }), 1)
  assert.deepEqual(balancer.instances.map(({ id, weight, healthy }) => [id, weight, healthy]), [['[::1]:80', 1, false], ['b:1', 3, true]])
  assert.deepEqual([balancer.choose(), balancer.choose(), balancer.why], [1, 1, undefined])
  assert.throws(() => balancer.register({ weight: 1 }), InstancesError)
  assert.ok(balancer.deregister('b:1') && !balancer.deregister('b:1'))
  assert.equal(balancer.choose(), -1)
  assert.equal(balancer.why, 'none-healthy')
})

test('hints reach the rules', () => {
  const maglev = listed('maglev')
  const index = maglev.choose({ key: 'tenant-7' })
  assert.equal(maglev.choose({ keyHash: keyHash('tenant-7') }), index)
  assert.equal(maglev.choose({ key: 'tenant-7', hint: 'x' }), index)
  assert.notEqual(maglev.choose({ key: 'tenant-7', tried: [index] }), index)
  assert.equal(keyHash(''), 0xef46db3751d8e999n)

  const labels = listed('random', [{ id: 'a:1' }, { id: 'b:1', metadata: { hint: 'blue', version: '2' } }])
  const all = (hints, want) => Array.from({ length: 20 }, () => labels.choose(hints)).every((index) => index === want)
  assert.ok(all({ label: ['version', '2'] }, 1))
  labels.setPolicy('hint')
  assert.ok(all({ hint: 'blue' }, 1))
  labels.setPolicy({ rule: 'hint', hint: 'blue' })
  assert.ok(all(undefined, 1))
})

test('draws come from the seed, or from the caller', () => {
  const picks = (seed) => {
    const balancer = new Balancer('random', { seed })
    balancer.update(three)
    return Array.from({ length: 50 }, () => balancer.choose())
  }
  assert.deepEqual(picks(5), picks(5n))
  assert.notDeepEqual(picks(5), picks(6))
  assert.deepEqual(new Set(picks(7)), new Set([0, 1, 2]))
  const balancer = listed('random')
  assert.equal(balancer.choose({ draw: (bound) => bound - 1 }), 2)
  assert.equal(balancer.choose({ draw: () => 1e9 }), 2, 'a draw out of its range is the nearest in it')
  assert.equal(balancer.choose({ draw: () => 'x' }), 0)
  const mine = new Error('mine')
  assert.throws(() => balancer.choose({ draw: () => { throw mine } }), mine)
  assert.throws(() => balancer.chooseWhere(() => { throw mine }), mine)
  assert.ok(balancer.choose() >= 0, 'it goes on')
  assert.deepEqual([0, 0, 0].map(() => balancer.chooseWhere(({ id }) => id !== '10.0.0.2:8080')), [0, 2, 0])
  assert.equal(balancer.chooseWhere(() => false), -1)
  assert.equal(balancer.why, 'no-match')
})
