// The API; index.d.ts describes it. An entry has made the module ready before anything here is called.
export { Balancer, Call } from './balancer.js'
export { NacriteError, PolicyError, InstancesError, NoInstanceError, DiscoveryError, Outcome } from './errors.js'
export { nacosDiscovery } from './discovery.js'
export { loadBalancedFetch } from './fetch.js'
export { keyHash, ruleNames } from './engine.js'
