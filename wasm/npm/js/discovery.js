import { DiscoveryError } from './errors.js'

/** List APIs, the oldest first: each generation of servers has one of them. */
const LISTS = ['/nacos/v1/ns/instance/list', '/nacos/v3/client/ns/instance/list']

/** Answers that say that a path is not known, rather than that something is wrong with the request. */
const UNKNOWN = new Set([404, 405, 410, 501])

/** Nacrite's code for a service that has no policy. */
const NO_POLICY = 20004

/** Instances and policy of a service by the HTTP API of a Nacrite or Nacos server. */
export function nacosDiscovery({
  server,
  namespace = '',
  group = 'DEFAULT_GROUP',
  clusters = [],
  headers = {},
  policies = true,
  fetch = globalThis.fetch,
}) {
  if (!server) throw new TypeError('nacosDiscovery needs the URL of a server')
  const base = String(server).replace(/\/+$/, '')
  let path = 0
  let asksPolicies = policies

  const ask = async (path, service, more, signal) => {
    const query = new URLSearchParams({ serviceName: service, groupName: group, namespaceId: namespace, ...more })
    try {
      return await fetch(`${base}${path}?${query}`, { headers, signal })
    } catch (why) {
      if (signal?.aborted) throw signal.reason
      throw new DiscoveryError(`${base} cannot be asked for ${service}: ${why.cause?.message ?? why.message}`, { cause: why })
    }
  }

  const list = async (service, signal) => {
    const more = { healthyOnly: 'false', ...(clusters.length > 0 && { clusters: clusters.join(','), clusterName: clusters.join(',') }) }
    for (let at = path; ; at++) {
      const answer = await ask(LISTS[at], service, more, signal)
      if (answer.ok) {
        path = at
        return new Uint8Array(await answer.arrayBuffer())
      }
      const said = (await answer.text()).slice(0, 200)
      if (!UNKNOWN.has(answer.status) || at + 1 >= LISTS.length) {
        throw new DiscoveryError(`${base} answers ${answer.status} for ${service}: ${said}`)
      }
    }
  }

  const policy = async (service, signal) => {
    if (!asksPolicies) return null
    const answer = await ask('/nacrite/v1/policies/effective', service, {}, signal)
    const document = await answer.json().catch(() => undefined)
    if (answer.ok) return document?.data?.policy
    if (answer.status !== 404) return undefined
    // Another server has no such API; Nacrite says in its own words that there is none.
    asksPolicies = document?.code === NO_POLICY
    return null
  }

  return async (service, { signal } = {}) => {
    // Without its policy a service can be called all the same: the one before stays.
    const both = [list(service, signal), policy(service, signal).catch(() => undefined)]
    const [instances, found] = await Promise.all(both)
    return { instances, policy: found }
  }
}
