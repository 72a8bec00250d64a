/** Load balancing and load-balanced fetch. Times are in ms; `now` is of a clock that never goes back. */

/** An instance of a service. What is left out has its default: weight 1, everything else well. */
export interface Instance {
  /** `host:port`; else made of the next two. */
  id?: string
  ip?: string
  port?: number
  /** As registered; 0 is never chosen. */
  weight?: number
  healthy?: boolean
  enabled?: boolean
  /** Whether the last probe of the caller's own found it up. */
  alive?: boolean
  /** Whether it says itself that it can serve. */
  ready?: boolean
  /** Else the label `zone`. */
  zone?: string
  /** Nacos cluster. */
  clusterName?: string
  /** Labels. */
  metadata?: Record<string, string>
}

/** An instance of a balancer's list. */
export interface ListedInstance {
  readonly id: string
  /** Null when the weight is no finite number. */
  readonly weight: number | null
  readonly healthy: boolean
  readonly enabled: boolean
  readonly alive: boolean
  readonly ready: boolean
  readonly zone?: string
  readonly clusterName: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Instances, or JSON text of them: an array, or the answer of a Nacos list API of any generation. */
export type InstanceList = readonly Instance[] | string | Uint8Array

/** Names of rules; the class names of Ribbon, Nacos and Spring Cloud are accepted too, long and short. */
export type RuleName =
  | 'round-robin' | 'random' | 'retry' | 'availability' | 'least-active' | 'response-time'
  | 'response-time-deprecated' | 'zone-avoidance' | 'nacos-weighted' | 'nacos-cluster' | 'nacos-load-balancer'
  | 'spring-round-robin' | 'spring-random' | 'spring-weighted' | 'zone-preference' | 'hint' | 'smooth-wrr'
  | 'least-request' | 'p2c-ewma' | 'ring-hash' | 'maglev' | 'locality-weighted'
  | (string & {})

/** A policy document. Every field has a default; an unknown one is an error. */
export interface Policy {
  /** Default: `zone-avoidance`. */
  rule?: RuleName
  /** `safe` (default): without the defects of the original; `exact`: with them. */
  mode?: 'safe' | 'exact'
  /** Rule inside `retry` and `locality-weighted`. */
  subRule?: RuleName
  /** Own zone of the caller. */
  zone?: string | null
  /** Own Nacos cluster of the caller. */
  cluster?: string | null
  /** Hint of requests that bring none. */
  hint?: string | null
  /** Position that Spring's round robin starts from. */
  startPosition?: number | null
  /** Ribbon's circuit breaker; `auto` is on for Ribbon's rules. */
  breaker?: 'auto' | 'on' | 'off'
  circuit?: { threshold?: number; factorS?: number; maxS?: number }
  ribbon?: {
    activeConnectionsLimit?: number | null
    filterCircuitTripped?: boolean
    activeWindowS?: number
    zoneAvoidance?: boolean
    triggeringLoad?: number
    blackoutShare?: number
    zoneAware?: boolean
    weightIntervalMs?: number
    tie?: 'first' | 'random'
  }
  affinity?: {
    enabled?: boolean
    exclusive?: boolean
    maxLoad?: number
    maxBlackoutShare?: number
    minAvailable?: number
  }
  retry?: { windowMs?: number; tries?: number }
  failureAware?: boolean
  ewma?: { decayMs?: number; initialMs?: number; penaltyMs?: number }
  leastRequest?: { choices?: number; bias?: number; fullScan?: boolean }
  hashing?: { minRing?: number; maxRing?: number; table?: number; bound?: number | null }
  locality?: {
    weights?: Record<string, number>
    overprovisioning?: number
    zoneAware?: boolean
    callerShare?: number | null
    minMembers?: number
  }
  /** Outlier ejection; null = off. */
  outlier?: {
    intervalMs?: number
    consecutiveErrors?: number
    consecutiveGateway?: number
    successRateFactor?: number
    minHosts?: number
    minRequests?: number
    failureShare?: number | null
    baseMs?: number
    maxMs?: number
    maxShare?: number
  } | null
  /** Slow start; null = off. */
  slowStart?: { windowMs?: number; minShare?: number; aggression?: number } | null
  /** Share of healthy instances below which health is ignored; 0 = off. */
  panicShare?: number
  protectThreshold?: number | null
  label?: { name: string; value: string; required?: boolean } | null
}

/** What a request says that matters to a choice. */
export interface Hints {
  /** Key of consistent hashing. */
  key?: string
  /** Its hash, when the caller has it already (`keyHash`); goes before `key`, unless `hint`, `label` or `tried` is given. */
  keyHash?: bigint
  /** Spring's hint. */
  hint?: string
  /** A label, name and value, that the request prefers. */
  label?: readonly [name: string, value: string]
  /** Indices that the request has been to already. */
  tried?: readonly number[]
  /** Makes the draws: asked with the bound for an integer below it, with 0 for a number in [0, 1). Only `key` goes with it. */
  draw?: (bound: number) => number
}

export type NoInstanceReason =
  | 'no-instances' | 'none-healthy' | 'no-weight' | 'bad-weights' | 'no-match' | 'gave-up'

/** How a request ended. */
export declare const Outcome: {
  readonly success: 0
  /** An answer 500 to 599 other than the next. */
  readonly serverError: 1
  /** 502, 503, 504. */
  readonly gatewayError: 2
  /** Refused, reset, no route, or too late. */
  readonly circuitFailure: 3
  /** It failed otherwise, or was cancelled. */
  readonly otherFailure: 4
}
export type Outcome = (typeof Outcome)[keyof typeof Outcome]

/** What is known of an instance. Times in ms. */
export interface Report {
  readonly id: string
  /** Requests under way. */
  readonly active: number
  /** Requests that ended. */
  readonly ended: number
  /** Peak moving average, decayed to now; 0 with no sample. */
  readonly costMs: number
  readonly meanMs: number
  readonly minMs: number
  readonly maxMs: number
  /** Connection failures in a row. */
  readonly failureRun: number
  /** Whether its circuit is open. */
  readonly tripped: boolean
  /** Whether the outlier detection has ejected it. */
  readonly ejected: boolean
}

export interface Times {
  /** Response time; else the time since the start. */
  responseMs?: number
  /** What the server asked to wait. */
  retryAfterMs?: number
  now?: number
}

/** Chooses instances of one service. */
export declare class Balancer {
  /**
   * Under a policy, or a rule by its name, without instances.
   * @param options `seed`: draws are the same for the same seed; `properties`: lines of Ribbon's configuration, those of
   * `service` before those for all, over the policy.
   * @throws {PolicyError} the policy is not valid
   */
  constructor(
    policy?: Policy | RuleName,
    options?: { seed?: bigint | number; service?: string; properties?: Record<string, string | number | boolean> },
  )

  /** The policy in force, with every field. */
  readonly policy: Required<Policy>
  /** @throws {PolicyError} it is not valid, and the one before stays. List and statistics stay. */
  setPolicy(policy: Policy | RuleName | undefined, now?: number): void

  /**
   * Replaces the list; statistics of those that stay are kept. Gives the list's number.
   * @param options `reachable`: the answer of each to the last probe, when there are probes
   * @throws {InstancesError} it is no list, and the one before stays
   */
  update(list: InstanceList, options?: { now?: number; reachable?: readonly boolean[] }): number
  /** Adds one, or replaces the one of the same id; its index. @throws {InstancesError} it has no address */
  register(instance: Instance, now?: number): number
  /** Takes one out; false when it was not there. */
  deregister(id: string, now?: number): boolean

  /** Number of the list: grows with each, and an index is good for one. */
  readonly epoch: number
  readonly size: number
  /** The list, in order. */
  readonly instances: readonly ListedInstance[]
  id(index: number): string | undefined
  /** -1 when it is not there. */
  indexOf(id: string): number
  /** Changes an instance of the list in place; false outside the list. */
  setFlag(
    index: number,
    flag: 'alive' | 'ready' | 'healthy' | 'enabled' | 'tripped' | 'ejected',
    on: boolean,
  ): boolean

  /** Chooses: the index of an instance, or -1, and `why` has the reason. */
  choose(hints?: Hints, now?: number): number
  /** Takes turns among those that pass the test. */
  chooseWhere(passes: (instance: ListedInstance, index: number) => boolean, now?: number): number
  /** Why the last choice gave none. */
  readonly why: NoInstanceReason | undefined

  /**
   * A request to the instance begins. Gives its ticket for `finish`, which takes it once on every path; 0 when the index is
   * outside the list, or a million are under way.
   */
  start(index: number, now?: number): number
  /** It ended. False for a ticket that is not under way. */
  finish(ticket: number, outcome?: Outcome, times?: Times): boolean
  /** Chooses and starts. @throws {NoInstanceError} */
  open(hints?: Hints, now?: number): Call
  /** Starts at the instance of this id. @throws {NoInstanceError} it is not in the list */
  openId(id: string, now?: number): Call

  /** Feedback by id, for callers that keep no ticket: false when nobody knows the id. */
  startId(id: string, now?: number): boolean
  finishId(id: string, outcome?: Outcome, times?: Omit<Times, 'retryAfterMs'>): boolean
  /** A connection failed, or a response time was seen, outside any request. */
  noteFailure(id: string, now?: number): boolean
  noteResponse(id: string, responseMs: number): boolean

  /** Computes the response-time weights now, which else happens at intervals; the cumulative ones, if the rule has them. */
  maintainWeights(): Float64Array | undefined
  /** What is known of each instance. */
  report(now?: number): Report[]
  /** Gives its memory back at once; else it goes with the garbage. */
  free(): void
}

/** A request under way. */
export declare class Call {
  private constructor()
  readonly index: number
  /** `host:port`. */
  readonly id: string
  /** It ended. False the second time. */
  finish(outcome?: Outcome, times?: Times): boolean
}

export declare class NacriteError extends Error {}
export declare class PolicyError extends NacriteError {
  /** What holds the wrong value. */
  readonly field: string | undefined
  /** Names of rules like the one that is not known, the nearest first. */
  readonly nearest: readonly string[]
}
export declare class InstancesError extends NacriteError {}
export declare class NoInstanceError extends NacriteError {
  readonly reason: NoInstanceReason
  readonly service: string | undefined
}
/** The instances of a service could not be had. */
export declare class DiscoveryError extends NacriteError {}

/** Hash of a key: xxHash64, seed 0, of its UTF-8 bytes. */
export declare function keyHash(key: string): bigint
/** Every accepted name of a rule. */
export declare function ruleNames(): string[]

/** What a discovery function finds: a list, or a list with the service's policy. */
export type Discovered =
  | InstanceList
  | {
      instances: InstanceList
      /** Null: it has none. Undefined: it is not known, and the one before stays. */
      policy?: Policy | RuleName | null
    }
export type Discovery = (service: string, options: { signal?: AbortSignal }) => Promise<Discovered> | Discovered

export interface ServerOptions {
  /** URL of a Nacrite or Nacos server, `http://127.0.0.1:8848`. */
  server: string | URL
  namespace?: string
  /** Default: `DEFAULT_GROUP`. */
  group?: string
  clusters?: readonly string[]
  /** More headers, such as an access token. */
  headers?: Record<string, string>
  /** Whether to ask for the service's policy, which Nacrite has. Default: true. */
  policies?: boolean
  fetch?: typeof globalThis.fetch
}

/** Instances and policy by the HTTP API of a server. */
export declare function nacosDiscovery(options: ServerOptions): Discovery

/** When a failed call is made again. Names in brackets are Ribbon's. */
export interface Retries {
  /** Times on the same instance (`MaxAutoRetries`). Default: 0. */
  same?: number
  /** Further instances (`MaxAutoRetriesNextServer`). Default: 1. */
  next?: number
  /**
   * Whether calls that may change something are made again after they may have reached an instance
   * (`OkToRetryOnAllOperations`). Default: false. Those that surely did not are always.
   */
  allOperations?: boolean
  /** Answers to be retried. Default: 502, 503, 504. */
  statuses?: readonly number[]
}

export interface FetchOptions extends Partial<Omit<ServerOptions, 'clusters' | 'policies'>> {
  /** Finds the instances of a service; else `server` is asked. */
  discover?: Discovery
  /** Goes before what is discovered. */
  policy?: Policy | RuleName | ((service: string) => Policy | RuleName | undefined)
  retries?: Retries
  /** The service that a URL names, if it does. Default: a host of one word, without a port, that is not localhost. */
  service?: (url: URL) => string | undefined
  /** Header that has the key of consistent hashing. */
  keyHeader?: string
  /** Time of one try until its answer begins; 0 = no limit of its own. Default: 0. */
  timeoutMs?: number
  /** A list that is older is asked for again beside the next call. Default: 5000. */
  refreshMs?: number
  /** Default: 5000. */
  discoveryTimeoutMs?: number
  /** Services that are remembered; those used longest ago are forgotten first. Default: 1000. */
  maxServices?: number
  /** Told what went wrong beside calls: a list that could not be renewed, a policy that cannot be used. */
  onWarning?: (why: unknown) => void
  fetch?: typeof globalThis.fetch
}

export interface BalancedFetch {
  /**
   * As `fetch`. Rejects with what `fetch` rejects with, with `NoInstanceError` and with `DiscoveryError`.
   */
  (input: RequestInfo | URL, init?: RequestInit): Promise<Response>
  /** The balancer of a service, once it has a list. */
  balancer(service: string): Promise<Balancer>
}

/** A `fetch` whose `http://orders/hello` reaches a chosen instance of `orders`. */
export declare function loadBalancedFetch(options: FetchOptions): BalancedFetch
