// Compiled, never run: what users write has types, and what is wrong has none.
import {
  Balancer, type Call, type Discovery, type Hints, NoInstanceError, Outcome, type Policy, PolicyError, type Report, keyHash,
  loadBalancedFetch, nacosDiscovery,
} from '@nacrite/core'

const policy: Policy = { rule: 'p2c-ewma', ewma: { decayMs: 5_000 }, outlier: null }
const balancer: Balancer = new Balancer(policy, { seed: 7n })
new Balancer('com.netflix.loadbalancer.RandomRule')
// @ts-expect-error a policy has no such field
new Balancer({ rul: 'random' })
// @ts-expect-error there are two modes
new Balancer({ mode: 'quick' })

const epoch: number = balancer.update([{ ip: '10.0.0.1', port: 80, metadata: { zone: 'a' } }], { reachable: [true] })
balancer.update('[]')
// @ts-expect-error a port is a number
balancer.update([{ ip: '10.0.0.1', port: '80' }])

const hints: Hints = { key: 'tenant', label: ['version', '2'], tried: [0] }
const index: number = balancer.choose(hints)
const ticket: number = balancer.start(index)
const ended: boolean = balancer.finish(ticket, Outcome.gatewayError, { retryAfterMs: 1_000 })
// @ts-expect-error there are five outcomes
balancer.finish(ticket, 9)
const call: Call = balancer.open({ keyHash: keyHash('tenant') })
call.finish()
// @ts-expect-error calls are opened
new Call(balancer, 0, 1)
const reports: Report[] = balancer.report()
const rule: string = balancer.policy.rule
try {
  balancer.setPolicy('round-robbin')
} catch (why) {
  if (why instanceof PolicyError) console.log(why.field, why.nearest[0])
  if (why instanceof NoInstanceError && why.reason === 'none-healthy') console.log(why.service)
}

const discover: Discovery = async (service, { signal }) => ({ instances: [{ id: `${service}:80` }], policy: null })
const mine = loadBalancedFetch({ discover, retries: { next: 2 }, policy: (service) => (service === 'a' ? 'random' : undefined) })
const response: Promise<Response> = mine('http://orders/hello', { method: 'POST', body: 'x' })
const plain: typeof fetch = loadBalancedFetch({ server: new URL('http://127.0.0.1:8848') })
const found: Discovery = nacosDiscovery({ server: 'http://127.0.0.1:8848', group: 'g', clusters: ['c'] })

export { call, ended, epoch, found, plain, reports, response, rule }
