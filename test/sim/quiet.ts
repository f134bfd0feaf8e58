import type { Log } from '../../src/port/log.ts'
import type { Meter } from '../../src/port/meter.ts'

/** Nobody reads them in a simulation: the trace has it all. */
export const silentLog: Log = { info: nothing, warn: nothing, error: nothing }
export const silentMeter: Meter = {
  count: nothing,
  gauge: nothing,
  clear: nothing,
  observe: nothing,
  render: () => Promise.resolve(''),
}

function nothing(): void {}
