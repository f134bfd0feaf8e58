import { defineAgent } from 'prunella/agent'

/** Says when it started, in nanoseconds of the monotonic clock that all processes of the machine share. */
export default defineAgent({ run: () => String(process.hrtime.bigint()) })
