/** How a request ended, as `finish` takes it. */
export const Outcome = Object.freeze({
  success: 0,
  serverError: 1,
  gatewayError: 2,
  circuitFailure: 3,
  otherFailure: 4,
})

/** The reasons that `choose` gives as -1, -2, … */
const REASONS = ['no-instances', 'none-healthy', 'no-weight', 'bad-weights', 'no-match', 'gave-up']

/** The reason of an answer of `choose` below 0. */
export const reasonOf = (answer) => REASONS[-answer - 1]

export class NacriteError extends Error {
  constructor(message, options) {
    super(message, options)
    this.name = new.target.name
  }
}

export class PolicyError extends NacriteError {
  constructor({ message, field, nearest = [] }) {
    super(message)
    this.field = field ?? undefined
    this.nearest = nearest
  }
}

export class InstancesError extends NacriteError {}

export class NoInstanceError extends NacriteError {
  constructor(reason, service) {
    super(service === undefined ? `no instance: ${reason}` : `no instance of ${service}: ${reason}`)
    this.reason = reason
    this.service = service
  }
}

export class DiscoveryError extends NacriteError {}

/** Calls into the module; what it refuses comes out as an error of its class. */
export function guarded(call) {
  try {
    return call()
  } catch (why) {
    if (why?.kind === 'policy') throw new PolicyError(why)
    if (why?.kind === 'instances') throw new InstancesError(why.message)
    throw why
  }
}
