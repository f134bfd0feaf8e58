import type { BackoffSpec, DeadlinesSpec, PulseSpec } from '../model/pool.ts'
import type { BreakerSpec, ProbeSpec } from '../model/probe.ts'

/** Every default of the configuration, with its reason. */
export const defaults = {
  /** Beside the configuration: `rm -r .prunella` is a fresh start. */
  store: 'sqlite:.prunella/state.db',
  /** Loopback: who wants more says so. */
  host: '127.0.0.1',
  port: 8080,
  /** Kubernetes gives a pod 30 s between SIGTERM and SIGKILL; we need the last of them to hand tasks back. */
  shutdownMs: 25_000,
  concurrency: 1,
  /** Three lost pulses of a frozen agent are 5 s; three times that never expires under a busy machine. */
  leaseMs: 15_000,
  leaseOverHung: 3,
  /** Podman's own limit of a container: a browser or a tool server has some hundreds, a fork bomb has them at once. */
  processLimit: 2_048,
} as const

export const defaultProbes: { readonly [kind in 'liveness' | 'readiness' | 'startup']: ProbeSpec } = {
  /** The slow net behind the pulse watch. */
  liveness: { initialDelayMs: 0, periodMs: 10_000, timeoutMs: 5_000, failureThreshold: 3, successThreshold: 1 },
  /** Gates dispatch only, so one more failure than one (a single lost packet) is enough. */
  readiness: { initialDelayMs: 0, periodMs: 30_000, timeoutMs: 10_000, failureThreshold: 2, successThreshold: 1 },
  /** 30 × 5 s: models and caches take their minute. */
  startup: { initialDelayMs: 0, periodMs: 5_000, timeoutMs: 3_000, failureThreshold: 30, successThreshold: 1 },
}

/** A shared dependency: a model provider may take its 10 s, anything on our own network may not. */
export const defaultDependencyProbe: ProbeSpec = { ...defaultProbes.readiness, timeoutMs: 5_000 }

/** A server that is started for its check: a cold start of an interpreter and its packages on a busy machine, ms. */
export const defaultCommandTimeoutMs = 10_000

/**
 * How often a dependency that is down and no model provider is asked: it is one's own, asking is free, and its pools
 * are to be back within 5 s of its return.
 */
export const ownProbeMs = 2_000

/** How an outage is told from a few failed calls, and how its end is met. */
export const defaultBreaker: BreakerSpec = {
  /** With more than half of the calls failing: 30 % of 5xx keep working, and three in ten seconds are no accident. */
  failures: 3,
  /** One replica alone accuses itself. */
  replicas: 2,
  /** An outage under load is noticed within it; the bar is 10 s. */
  windowMs: 10_000,
  /** The most often that is polite to a provider in trouble; a flapping one is asked every 15 s at last. */
  probeMs: 5_000,
  probeMaxMs: 15_000,
  stableMs: 60_000,
  /** A quarter of an hour's trouble is one incident, not twenty. */
  flapMs: 600_000,
  /** With a check every 5 s, full strength within 15 s of its return. */
  rampMs: 6_000,
}

/**
 * With 20 agents on 2 cores under 40 spinning processes the worst gap between
 * pulses was 1.74 s, so 3 s and 5 s accuse nobody. Other periods keep the ratio.
 */
export const defaultPulse: PulseSpec = { everyMs: 1_000, suspectMs: 3_000, hungMs: 5_000 }

export const defaultDeadlines: DeadlinesSpec = {
  /** Slow is not dead (R7): only who knows better sets one. */
  taskMs: null,
  /** The longest default time-out in the field: the OpenAI client's ten minutes. */
  stepMs: 600_000,
  toolMs: 120_000,
  idleMs: 600_000,
}

export const defaultRecovery = {
  mode: 'act',
  nudge: true,
  /** One every three minutes, all day, is no accident (product.md, R10). */
  alertAfterSoft: 20,
  /** Strikes 1–2 soft, 3–5 hard, more is quarantine. */
  soft: 2,
  hard: 3,
  strikePeriodMs: 600_000,
  probationMs: 60_000,
  resetMs: 5_000,
  graceMs: 5_000,
  drainMs: 30_000,
  /** Kubernetes' CrashLoopBackOff ends at 5 minutes as well; jitter so that a pool does not come back in step. */
  backoff: { baseMs: 1_000, factor: 2, maxMs: 300_000, jitter: 0.5 } satisfies BackoffSpec,
  intensity: 10,
  intensityPeriodMs: 60_000,
  poisonAfter: 3,
} as const

export const defaultRetry = {
  attempts: 3,
  backoff: { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 } satisfies BackoffSpec,
  repeat: 'safe_to_retry',
} as const

export const defaultNotify = {
  /** The log takes what there is; who is called out of bed is called for what Prunella did, not for what it tried. */
  minimum: { log: 'info', webhook: 'warning' },
  timeoutMs: 5_000,
} as const

export const defaultBaseUrl = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com/v1',
} as const
