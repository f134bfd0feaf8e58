import type { Observation } from '../model/observation.ts'

/** Where facts are put. The tick is the only reader. */
export interface Inbox {
  push(observation: Observation): void
  /** True at `limits.inboxLength`: who can stop reading must stop until `onDrain`. */
  readonly full: boolean
  /** Called once each time the inbox has room again. */
  onDrain(listener: () => void): void
}
