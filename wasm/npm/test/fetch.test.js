// Balanced fetches: against instances that this process serves, and a running register.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'

import {
  DiscoveryError, InstancesError, NoInstanceError, PolicyError, loadBalancedFetch, nacosDiscovery,
} from '@nacrite/core'
import { eventually, instances, left, moved, policied, register, registered } from './servers.js'

const running = []
after(() => Promise.all(running.map((one) => one.stop())))
const started = async (...names) => {
  const all = await instances(...names)
  running.push(...all)
  return all
}
const known = (...all) => () => all.map(({ id }) => ({ id }))
const names = async (fetch, count, url = 'http://orders/') => {
  const said = []
  for (let n = 0; n < count; n++) said.push(await (await fetch(url)).text())
  return said
}
/** Addresses at which nobody listens, and which no program is given for a port that it does not care about. */
const [dead, gone] = [{ id: '127.0.0.1:2' }, { id: '127.0.0.1:3' }]

test('a host of one word is a service, everything else is fetched as it is', async () => {
  const [a, b] = await started('a', 'b')
  const asked = []
  const fetch = loadBalancedFetch({
    discover: (service) => (asked.push(service), known(a, b)()),
    policy: 'round-robin',
  })
  assert.deepEqual(await names(fetch, 4), ['b', 'a', 'b', 'a'])
  assert.equal(await (await fetch(`http://${a.id}/`)).text(), 'a')
  assert.equal(await (await fetch(`http://localhost:${b.port}/`)).text(), 'b')
  assert.equal(await (await fetch(new Request('http://orders/path?q=1', { headers: { 'x-a': '1' } }))).text(), 'b')
  assert.deepEqual(asked, ['orders'])
  const mapped = loadBalancedFetch({
    discover: (service) => (asked.push(service), known(b)()),
    service: ({ hostname }) => (hostname === 'orders.example' ? 'Orders' : undefined),
  })
  assert.equal(await (await mapped('http://orders.example/')).text(), 'b')
  assert.deepEqual(asked, ['orders', 'Orders'])
})

test('the request arrives whole', async () => {
  const [a] = await started('a')
  let seen
  a.behave = (request) => { seen = { method: request.method, url: request.url, key: request.headers['x-key'], host: request.headers.host } }
  const fetch = loadBalancedFetch({ discover: known(a) })
  await fetch('http://orders/path?q=1#part', { method: 'PUT', headers: { 'x-key': 'k' }, body: 'text' })
  assert.deepEqual(seen, { method: 'PUT', url: '/path?q=1', key: 'k', host: a.id })
  await fetch('http://orders/', { method: 'POST', body: new Blob(['blob']) })
  await fetch(new Request('http://orders/', { method: 'POST', body: 'of a request' }))
  await fetch('http://orders/', { method: 'POST', body: new Blob(['a stream']).stream(), duplex: 'half' })
  assert.deepEqual(a.bodies, ['text', 'blob', 'of a request', 'a stream'])
})

test('what did not reach an instance is sent to another, whatever it is', async () => {
  const [a] = await started('a')
  const fetch = loadBalancedFetch({ discover: known(a, dead), policy: 'round-robin' })
  for (let n = 0; n < 4; n++) {
    assert.equal(await (await fetch('http://orders/', { method: 'POST', body: 'once' })).text(), 'a')
  }
  assert.deepEqual(a.bodies, Array(4).fill('once'))
  const balancer = await fetch.balancer('orders')
  const report = Object.fromEntries(balancer.report().map((line) => [line.id, line]))
  assert.ok(report[dead.id].failureRun >= 1)
  assert.deepEqual([report[a.id].active, report[dead.id].active, report[a.id].ended], [0, 0, 4])
})

test('answers are retried by policy, and what may have been done is not done twice', async () => {
  const [a, b] = await started('a', 'b')
  a.behave = (_, response) => {
    response.statusCode = 503
    response.setHeader('retry-after', '7')
  }
  const options = { discover: known(a, b), policy: 'round-robin' }
  // Its first turn is b's.
  assert.deepEqual(await names(loadBalancedFetch(options), 4), ['b', 'b', 'b', 'b'])
  const asked = () => a.asked
  let before = asked()
  const careful = loadBalancedFetch(options)
  const statuses = []
  for (let n = 0; n < 4; n++) statuses.push((await careful('http://orders/', { method: 'POST', body: 'x' })).status)
  assert.deepEqual(statuses, [200, 503, 200, 503])
  assert.equal(asked() - before, 2)
  const bold = loadBalancedFetch({ ...options, retries: { allOperations: true } })
  for (let n = 0; n < 4; n++) assert.equal((await bold('http://orders/', { method: 'POST', body: 'x' })).status, 200)
  const never = loadBalancedFetch({ ...options, retries: { next: 0 } })
  assert.deepEqual(await names(never, 2), ['b', 'a'])
  before = asked()
  const stubborn = loadBalancedFetch({ ...options, retries: { next: 0, same: 2 } })
  assert.equal((await stubborn('http://orders/')).status, 200)
  assert.equal((await stubborn('http://orders/')).status, 503)
  assert.equal(asked() - before, 3)
  a.behave = (_, response) => { response.statusCode = 500 }
  assert.equal((await never('http://orders/')).status, 200)
  assert.equal((await never('http://orders/')).status, 500, 'an error of the service is an answer')
})

test('the last failure is what the caller gets', async () => {
  const fetch = loadBalancedFetch({ discover: known(dead, gone) })
  await assert.rejects(fetch('http://orders/'), (why) => why instanceof TypeError && why.cause.code === 'ECONNREFUSED')
  const [a] = await started('a')
  a.behave = (request) => {
    request.socket.destroy()
    return true
  }
  const lonely = loadBalancedFetch({ discover: known(a), retries: { next: 3 } })
  await assert.rejects(lonely('http://orders/', { method: 'POST', body: 'x' }), TypeError)
  assert.equal(a.asked, 1, 'nobody knows whether it was done')
  await assert.rejects(lonely('http://orders/'), TypeError)
  assert.ok(a.asked > 1)
})

test('an abort ends a call at once, and is held against nobody', async () => {
  const [a] = await started('a')
  let arrived
  const there = new Promise((resolve) => { arrived = resolve })
  a.behave = () => (arrived(), true)
  const fetch = loadBalancedFetch({ discover: known(a), policy: 'least-active' })
  const mine = new AbortController()
  const waiting = fetch('http://orders/', { signal: mine.signal })
  await there
  const balancer = await fetch.balancer('orders')
  assert.equal(balancer.report()[0].active, 1)
  mine.abort(new Error('enough'))
  await assert.rejects(waiting, { message: 'enough' })
  const [line] = balancer.report()
  assert.deepEqual([line.active, line.ended, line.failureRun, a.asked], [0, 1, 0, 1])
  await assert.rejects(fetch('http://orders/', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.equal(a.asked, 1)
  // While the list is awaited.
  const slow = loadBalancedFetch({ discover: () => new Promise(() => {}) })
  const early = new AbortController()
  const never = slow('http://orders/', { signal: early.signal })
  early.abort(new Error('too early'))
  await assert.rejects(never, { message: 'too early' })
})

test('an instance that says nothing is given up in time', async () => {
  const [a, b] = await started('a', 'b')
  a.behave = () => true
  const fetch = loadBalancedFetch({ discover: known(a, b), policy: 'round-robin', timeoutMs: 500 })
  // One of the two is a's turn.
  const said = await eventually(async () => {
    const said = await names(fetch, 2)
    assert.ok(a.asked > 0)
    return said
  })
  assert.deepEqual(said, ['b', 'b'])
  const balancer = await fetch.balancer('orders')
  assert.ok(balancer.report()[0].failureRun >= 1)
  const alone = loadBalancedFetch({ discover: known(a), timeoutMs: 100 })
  await assert.rejects(alone('http://orders/', { method: 'POST' }), { name: 'TimeoutError' })
})

test('what is wrong with a discovery is said, and a list that was had goes on', async () => {
  const cannot = loadBalancedFetch({ discover: () => { throw new Error('no idea') } })
  await assert.rejects(cannot('http://orders/'), (why) => why instanceof DiscoveryError && /orders.*no idea/.test(why.message))
  await assert.rejects(loadBalancedFetch({ discover: () => undefined })('http://orders/'), DiscoveryError)
  await assert.rejects(loadBalancedFetch({ discover: () => '[{}]' })('http://orders/'), InstancesError)
  await assert.rejects(loadBalancedFetch({ discover: () => [] })('http://orders/'),
    (why) => why instanceof NoInstanceError && why.reason === 'no-instances' && why.service === 'orders')
  await assert.rejects(loadBalancedFetch({ discover: () => [], policy: 'nobody' })('http://orders/'), PolicyError)
  await assert.rejects(loadBalancedFetch({ server: `http://${dead.id}` })('http://orders/'), DiscoveryError)
  assert.throws(() => loadBalancedFetch({}), TypeError)

  const [a] = await started('a')
  let works = true
  const warnings = []
  const fetch = loadBalancedFetch({
    refreshMs: 0,
    onWarning: (why) => warnings.push(why),
    discover: () => {
      if (!works) throw new Error('down')
      return { instances: known(a)(), policy: 'nobody' }
    },
  })
  assert.deepEqual(await names(fetch, 1), ['a'])
  assert.ok(warnings[0] instanceof PolicyError)
  works = false
  await eventually(async () => {
    assert.deepEqual(await names(fetch, 1), ['a'])
    assert.ok(warnings.some((why) => why instanceof DiscoveryError))
  })
})

test('services are forgotten when there are too many', async () => {
  const [a] = await started('a')
  const asked = []
  const fetch = loadBalancedFetch({ discover: (service) => (asked.push(service), known(a)()), maxServices: 2 })
  for (const service of ['x', 'y', 'x', 'z', 'x', 'y']) assert.equal((await fetch(`http://${service}/`)).status, 200)
  assert.deepEqual(asked, ['x', 'y', 'z', 'y'])
})

test('a key keeps to its instance', async () => {
  const all = await started('a', 'b', 'c')
  const fetch = loadBalancedFetch({ discover: known(...all), policy: 'maglev', keyHeader: 'x-tenant' })
  const of = async (tenant) => (await fetch('http://orders/', { headers: { 'x-tenant': tenant } })).text()
  const homes = new Map()
  for (let n = 0; n < 60; n++) homes.set(n, await of(`tenant-${n}`))
  for (const [n, home] of homes) assert.equal(await of(`tenant-${n}`), home)
  assert.equal(new Set(homes.values()).size, 3)
})

test('instances, weights and policy are followed as a running register has them', async () => {
  const service = 'weighted'
  const [a, b] = await started('a', 'b')
  await registered(service, a, { weight: 1 })
  await registered(service, b, { weight: 0 })
  await policied(service, { rule: 'nacos-weighted' })
  const fetch = loadBalancedFetch({ server: register, refreshMs: 0 })
  const url = `http://${service}/`
  await eventually(async () => assert.deepEqual(new Set(await names(fetch, 20, url)), new Set(['a'])))
  assert.equal((await fetch.balancer(service)).policy.rule, 'nacos-weighted')
  await moved(service, a, { weight: 1 })
  await moved(service, b, { weight: 9 })
  const share = await eventually(async () => {
    const said = await names(fetch, 60, url)
    const share = said.filter((name) => name === 'b').length
    assert.ok(share > 30, `${share} of 60`)
    return share
  })
  assert.ok(share < 60 || (await names(fetch, 200, url)).includes('a'), 'the other keeps its tenth')
  await policied(service, { rule: 'round-robin' })
  await eventually(async () => {
    await fetch(url)
    assert.equal((await fetch.balancer(service)).policy.rule, 'round-robin')
  })
  await eventually(async () => assert.equal((await names(fetch, 10, url)).filter((name) => name === 'a').length, 5))
})

test('an instance dies, and calls go on; it leaves the register, and is asked no more', async () => {
  const service = 'mortal'
  const all = await started('a', 'b', 'c')
  for (const one of all) await registered(service, one)
  const fetch = loadBalancedFetch({ server: register, policy: 'round-robin', refreshMs: 0 })
  const url = `http://${service}/`
  await eventually(async () => assert.equal(new Set(await names(fetch, 9, url)).size, 3))
  await all[1].stop()
  const said = await names(fetch, 30, url)
  assert.ok(!said.includes('b'), 'and no call fails')
  await left(service, all[1])
  await eventually(async () => {
    await fetch(url)
    assert.equal((await fetch.balancer(service)).size, 2)
  })
})

test('a server of another make is asked by the API that it has', async () => {
  const [a, old, strange] = await started('a', 'old', 'strange')
  const paths = []
  old.behave = (request, response) => {
    const path = request.url.split('?')[0]
    paths.push(path)
    if (path !== '/nacos/v3/client/ns/instance/list') response.statusCode = 404
    else response.end(JSON.stringify({ code: 0, data: [{ ip: '127.0.0.1', port: a.port, healthy: true, enabled: true, weight: 1 }] }))
    return response.writableEnded
  }
  const discover = nacosDiscovery({ server: `http://${old.id}/`, namespace: 'n' })
  const fetch = loadBalancedFetch({ discover, refreshMs: 0 })
  assert.deepEqual(await names(fetch, 1), ['a'])
  paths.length = 0
  await discover('orders')
  assert.deepEqual(paths, ['/nacos/v3/client/ns/instance/list'], 'what it has not is asked for once')
  strange.behave = (_, response) => { response.statusCode = 403 }
  await assert.rejects(nacosDiscovery({ server: `http://${strange.id}` })('orders'), (why) =>
    why instanceof DiscoveryError && /403.*strange/.test(why.message))
})
