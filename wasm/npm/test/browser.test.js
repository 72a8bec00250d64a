// The package in a real Chromium: a page loads it as it is served, and balances fetches to instances of another origin.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'

import { chromium } from 'playwright-core'

import { eventually, instances, register, registered } from './servers.js'

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]
const TYPES = { js: 'text/javascript', wasm: 'application/wasm', html: 'text/html' }

let browser, page, site
const running = []
after(async () => {
  await browser?.close()
  site?.closeAllConnections()
  site?.close()
  await Promise.all(running.map((one) => one.stop()))
})

/** The page's own origin: the package's files, and what a gateway would pass on to the register. */
async function serve(request, response) {
  if (/^\/(nacos|nacrite)\//.test(request.url)) {
    const answer = await fetch(register + request.url)
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
    return response.end(Buffer.from(await answer.arrayBuffer()))
  }
  const name = request.url === '/' ? 'page.html' : request.url.slice(1)
  response.setHeader('content-type', TYPES[name.split('.').at(-1)] ?? 'text/plain')
  if (name === 'page.html') {
    // What the engine needs, and no more.
    response.setHeader('content-security-policy', "script-src 'self' 'wasm-unsafe-eval'")
    return response.end('<!doctype html><title>instances</title>')
  }
  const file = await readFile(new URL(name, process.env.PACKAGE)).catch(() => undefined)
  if (file === undefined) response.statusCode = 404
  response.end(file)
}

before(async () => {
  site = createServer((request, response) => serve(request, response).catch((why) => response.destroy(why)))
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, timeout: 120_000 })
  page = await browser.newPage()
  page.setDefaultTimeout(120_000)
  const errors = []
  page.on('pageerror', (why) => errors.push(why))
  await page.goto(`http://127.0.0.1:${site.address().port}/`)
  await page.evaluate(async () => { globalThis.core = await import('/browser.js') })
  assert.deepEqual(errors, [])
})

test('the module chooses in a page', async () => {
  const got = await page.evaluate(() => {
    const balancer = new core.Balancer('round-robin')
    balancer.update([{ id: 'a:1' }, { id: 'b:1' }])
    let refused
    try {
      new core.Balancer('round-robbin')
    } catch (why) {
      refused = [why.name, why.nearest[0]]
    }
    return { picks: [0, 0, 0].map(() => balancer.choose()), refused, hash: String(core.keyHash('')) }
  })
  assert.deepEqual(got, { picks: [1, 0, 1], refused: ['PolicyError', 'round-robin'], hash: String(0xef46db3751d8e999n) })
})

test('fetches of a page are balanced, by the register, past an instance that died', async () => {
  const service = 'paged'
  const all = await instances('a', 'b', 'c')
  running.push(all[0], all[2])
  for (const one of all) await registered(service, one)
  await page.evaluate(() => {
    globalThis.balanced = core.loadBalancedFetch({ server: location.origin, policy: 'round-robin', refreshMs: 0 })
  })
  const names = (count) => page.evaluate(async ([service, count]) => {
    const said = []
    for (let n = 0; n < count; n++) said.push(await (await balanced(`http://${service}/hello?n=${n}`)).text())
    return said
  }, [service, count])
  await eventually(async () => assert.equal(new Set(await names(9)).size, 3))
  await all[1].stop()
  assert.ok(!(await names(20)).includes('b'), 'and no call fails')
  const posted = await page.evaluate(async (service) =>
    (await balanced(`http://${service}/`, { method: 'POST', body: 'from a page' })).text(), service).catch((why) => why)
  // A browser does not say whether the one that died was reached, so what may change something is not sent again.
  if (typeof posted === 'string') assert.ok([...all[0].bodies, ...all[2].bodies].includes('from a page'))
  else assert.match(posted.message, /Failed to fetch/)
})

test('a page asks the register itself, which lets its origin in', async () => {
  const [a] = await instances('a')
  running.push(a)
  await registered('across', a)
  const ask = () => page.evaluate(async (server) => {
    // A header that a browser asks for beforehand.
    const fetch = core.loadBalancedFetch({ server, headers: { 'x-page': 'yes' }, refreshMs: 0 })
    return (await fetch('http://across/hello')).text()
  }, register)
  await eventually(async () => assert.equal(await ask(), 'a'))
})

test('a page aborts a call, and goes on', async () => {
  const [a] = await instances('a')
  running.push(a)
  a.behave = (request) => request.url === '/wait'
  const got = await page.evaluate(async (id) => {
    const fetch = core.loadBalancedFetch({ discover: () => [{ id }] })
    const mine = new AbortController()
    const waiting = fetch('http://orders/wait', { signal: mine.signal }).catch((why) => why.name)
    const balancer = await fetch.balancer('orders')
    while (balancer.report()[0].active === 0) await new Promise((done) => setTimeout(done, 5))
    mine.abort()
    return [await waiting, balancer.report()[0].active, await (await fetch('http://orders/go')).text()]
  }, a.id)
  assert.deepEqual(got, ['AbortError', 0, 'a'])
})
