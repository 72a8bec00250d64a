import { Balancer } from './balancer.js'
import { nacosDiscovery } from './discovery.js'
import { DiscoveryError, NacriteError, NoInstanceError, Outcome } from './errors.js'

/** Names and defaults of the first three are Ribbon's, as in Nacrite's other clients. */
const RETRIES = { same: 0, next: 1, allOperations: false, statuses: [502, 503, 504] }

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** Codes of Node's errors after which the request has surely not reached the instance. */
const NOT_REACHED = new Set([
  'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT',
])

/** A list is not asked for anew more often, whatever happened. */
const LEAST_REFRESH_MS = 250

/** What a request is made of, but for URL, body and signal. */
const FIELDS = [
  'method', 'headers', 'credentials', 'redirect', 'referrer', 'referrerPolicy', 'mode', 'cache', 'integrity', 'keepalive',
]

const isAddress = (host) => /^\d+(\.\d+){3}$/.test(host) || host.startsWith('[')

/** A host name of one word, without a port, is a service. */
const serviceOf = ({ protocol, hostname, port }) =>
  /^https?:$/.test(protocol) && port === '' && !hostname.includes('.') && hostname !== 'localhost' && !isAddress(hostname)
    ? hostname
    : undefined

/** The promise, or the signal's reason as soon as it is aborted. */
async function unlessAborted(promise, signal) {
  signal.throwIfAborted()
  let give
  const aborted = new Promise((_, reject) => {
    give = () => reject(signal.reason)
    signal.addEventListener('abort', give)
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', give)
  }
}

/** A service that is called: its balancer, and how old its list is. */
class Service {
  #name
  #options
  #asking
  #askedMs = -Infinity
  #policyText

  constructor(name, options) {
    this.#name = name
    this.#options = options
    const own = typeof options.policy === 'function' ? options.policy(name) : options.policy
    this.ownPolicy = own !== undefined
    this.balancer = new Balancer(own)
  }

  /** Resolves once there is a list; one that is too old is asked for beside the call. */
  async ready() {
    if (this.balancer.epoch === 0) return this.#asking ?? this.#ask()
    if (performance.now() - this.#askedMs >= this.#options.refreshMs) this.refresh()
  }

  /** Asks for the list soon: an instance failed. */
  refresh() {
    const soon = performance.now() - this.#askedMs < LEAST_REFRESH_MS
    this.#asking ??= soon ? undefined : this.#ask()
    // Who calls goes on with the list before; who waits for it is told.
    this.#asking?.catch(this.#options.onWarning)
    return this.#asking
  }

  #ask() {
    this.#askedMs = performance.now()
    const signal = AbortSignal.timeout(this.#options.discoveryTimeoutMs)
    this.#asking = this.#follow(signal).finally(() => (this.#asking = undefined))
    return this.#asking
  }

  async #follow(signal) {
    let found
    try {
      found = await this.#options.discover(this.#name, { signal })
    } catch (why) {
      if (why instanceof NacriteError) throw why
      throw new DiscoveryError(`${this.#name} cannot be discovered: ${why?.message ?? why}`, { cause: why })
    }
    if (found === undefined || found === null) throw new DiscoveryError(`${this.#name} cannot be discovered: nothing was found`)
    const plain = typeof found === 'string' || Array.isArray(found) || found instanceof Uint8Array
    const { instances, policy } = plain ? { instances: found } : found
    if (!this.ownPolicy && policy !== undefined) this.#take(policy ?? undefined)
    this.balancer.update(instances)
  }

  #take(policy) {
    const text = JSON.stringify(policy)
    if (text === this.#policyText) return
    this.#policyText = text
    try {
      this.balancer.setPolicy(policy)
    } catch (why) {
      // The one before stays in force.
      this.#options.onWarning(why)
    }
  }

  open(hints) {
    try {
      return this.balancer.open(hints)
    } catch (why) {
      throw why instanceof NoInstanceError ? new NoInstanceError(why.reason, this.#name) : why
    }
  }
}

/** Services by name, the one used longest ago first. */
class Services {
  #known = new Map()
  #options

  constructor(options) {
    this.#options = options
  }

  get(name) {
    const service = this.#known.get(name) ?? new Service(name, this.#options)
    this.#known.delete(name)
    this.#known.set(name, service)
    // Its balancer is freed with the last call that uses it.
    if (this.#known.size > this.#options.maxServices) this.#known.delete(this.#known.keys().next().value)
    return service
  }
}

/** How a try ended, for the balancer and for whether there is another. */
function judged(response, error, timedOut) {
  if (error !== undefined) {
    const reached = !NOT_REACHED.has(error.cause?.code ?? error.cause?.errors?.[0]?.code)
    // A browser says nothing but that fetching failed.
    const network = timedOut || error instanceof TypeError
    return { outcome: network ? Outcome.circuitFailure : Outcome.otherFailure, reached, status: 0 }
  }
  const { status } = response
  const gateway = status >= 502 && status <= 504
  const outcome = gateway ? Outcome.gatewayError : status >= 500 ? Outcome.serverError : Outcome.success
  const after = Number(response.headers.get('retry-after') ?? NaN)
  return { outcome, reached: true, status, retryAfterMs: after * 1000 }
}

class Sender {
  #options

  constructor(options) {
    this.#options = options
  }

  #again({ reached, status, outcome }, method) {
    const { allOperations, statuses } = this.#options.retries
    if (!reached) return true
    return (allOperations || SAFE.has(method)) && (status === 0 ? outcome === Outcome.circuitFailure : statuses.includes(status))
  }

  /** One try: sends, and tells the balancer how it ended. */
  async #once(call, request, url) {
    const { timeoutMs, fetch } = this.#options
    const { body, signal } = request
    const target = new URL(url)
    target.host = call.id
    const late = new AbortController()
    const timer = timeoutMs && setTimeout(() => late.abort(new DOMException(`no answer in ${timeoutMs} ms`, 'TimeoutError')), timeoutMs)
    let response, error
    try {
      const fields = Object.fromEntries(FIELDS.map((name) => [name, request.fields[name]]))
      // Some engines refuse a body that can be read once without being told.
      const duplex = body instanceof ReadableStream && { duplex: 'half' }
      response = await fetch(target.href, { ...fields, ...duplex, body, signal: AbortSignal.any([signal, late.signal]) })
    } catch (why) {
      error = why
    } finally {
      clearTimeout(timer)
    }
    if (error !== undefined && signal.aborted) {
      call.finish(Outcome.otherFailure)
      throw error
    }
    const end = judged(response, error, late.signal.aborted)
    call.finish(end.outcome, { retryAfterMs: end.retryAfterMs })
    return { response, error, end }
  }

  async send(service, request, url) {
    const { retries, keyHeader } = this.#options
    const headers = request.fields.headers
    const key = (keyHeader && headers.get(keyHeader)) ?? undefined
    const hint = headers.get('x-sc-lb-hint') ?? undefined
    const once = request.body instanceof ReadableStream
    const tried = []
    let last
    for (let next = 0; next <= retries.next; next++) {
      for (let same = 0; same <= retries.same; same++) {
        let call
        try {
          call = same === 0 ? await this.#open(service, { key, hint }, tried, request.signal) : service.balancer.openId(tried.at(-1))
        } catch (why) {
          // Nobody is left to try: what the last one said is more than that.
          if (last === undefined || !(why instanceof NoInstanceError)) throw why
          continue
        }
        if (same === 0) tried.push(call.id)
        // Its connection is needed no longer.
        last?.response?.body?.cancel().catch(() => {})
        last = await this.#once(call, request, url)
        if (last.end.outcome === Outcome.circuitFailure) service.refresh()
        if (once || !this.#again(last.end, request.fields.method)) return given(last)
      }
    }
    return given(last)
  }

  async #open(service, hints, ids, signal) {
    const open = () => {
      const tried = ids.map((id) => service.balancer.indexOf(id)).filter((index) => index >= 0)
      return service.open(tried.length > 0 ? { ...hints, tried } : hints)
    }
    try {
      return open()
    } catch (why) {
      const asked = why instanceof NoInstanceError && service.refresh()
      if (!asked) throw why
      await unlessAborted(asked.catch(() => {}), signal)
      return open()
    }
  }
}

function given({ response, error }) {
  if (error !== undefined) throw error
  return response
}

/** A `fetch` whose host names may be services. */
export function loadBalancedFetch({
  discover,
  server,
  namespace,
  group,
  headers,
  policy,
  retries,
  service = serviceOf,
  keyHeader,
  timeoutMs = 0,
  refreshMs = 5_000,
  discoveryTimeoutMs = 5_000,
  maxServices = 1_000,
  onWarning = () => {},
  fetch = globalThis.fetch,
}) {
  const options = {
    discover: discover ?? nacosDiscovery({ server, namespace, group, headers, fetch }),
    policy,
    retries: { ...RETRIES, ...retries },
    keyHeader,
    timeoutMs,
    refreshMs,
    discoveryTimeoutMs,
    maxServices,
    onWarning,
    // Called as a method it would have another `this`, which browsers refuse.
    fetch: (...given) => fetch(...given),
  }
  const services = new Services(options)
  const sender = new Sender(options)

  const balanced = async (input, init) => {
    const whole = new Request(input, withoutStream(init))
    const url = new URL(whole.url)
    const name = service(url)
    if (name === undefined) return options.fetch(input, init)
    const known = services.get(name)
    await unlessAborted(known.ready(), whole.signal)
    const streamed = init?.body instanceof ReadableStream ? init.body : undefined
    // Read once, so that it can be sent again; a stream of the caller's is sent as it is, and once.
    const body = streamed ?? (whole.body === null ? undefined : await whole.arrayBuffer())
    return sender.send(known, { fields: whole, body, signal: whole.signal }, url)
  }
  balanced.balancer = async (name) => {
    const known = services.get(name)
    await known.ready()
    return known.balancer
  }
  return balanced
}

/** A `Request` would take a stream for itself, and engines want to be told of it. */
function withoutStream(init) {
  return init?.body instanceof ReadableStream ? { ...init, body: undefined } : init
}
