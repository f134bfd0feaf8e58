/**
 * Every limit of the system, with its reason. A queue, list, message or retry
 * without a line here (or in the configuration) is a defect.
 */
export const limits = {
  /** One frame on the agent's channel, bytes, both directions. A 512 MB line killed a supervisor that had no cap. */
  frameBytes: 1024 * 1024,
  /** Nesting of a frame or payload. 200,000 levels overflow the stack of every recursive reader. */
  jsonDepth: 64,
  /** Task input, task output, step result: half a frame, so that each fits one with its envelope. */
  payloadBytes: 512 * 1024,
  /** Frames an agent sends unasked (pulse, progress, log …), per second, before we stop reading for the rest of it. */
  unsolicitedFramesPerSecond: 1_000,
  /** Seconds in a row at the rate limit, after which the flood is a protocol violation. */
  floodSeconds: 5,
  /** Frames of running attempts (calls, progress), per second and agent, before we stop reading for the rest of it. Never a violation. */
  attemptFramesPerSecond: 10_000,
  /** Seconds in which nothing is added to half a frame, after which the channel is declared broken. */
  halfFrameSeconds: 10,
  /** Bytes queued towards one agent that does not read; more and the channel is declared stuck. */
  channelBacklogBytes: 8 * 1024 * 1024,
  /** Processes and threads of a command that a check starts: a launcher, a shell and the server itself have some dozens. */
  launchedProcesses: 512,
  /** Observations waiting for the tick; beyond it the host stops reading channels. */
  inboxLength: 50_000,
  /** Observations folded in one tick, so that a flood cannot starve decisions. */
  observationsPerTick: 4_096,
  /** Tail of stderr kept for the evidence of an incident, bytes. */
  stderrTailBytes: 8 * 1024,
  /** One captured line of an agent's output, bytes; the rest of the line is cut. */
  logLineBytes: 16 * 1024,
  /** Captured output lines kept in memory for each replica. */
  logLinesPerReplica: 1_000,
  /** Captured output lines a second for each replica; the rest is counted, not kept. */
  logLinesPerSecond: 500,
  /** Bytes of output read from one agent's stream per second before we stop reading for the rest of it. */
  outputBytesPerSecond: 32 * 1024 * 1024,
  /** Text of an error that enters the store or an incident, characters. */
  errorTextLength: 4_000,
  /** A progress note, a wait's name, an operator's reason: characters. */
  noteLength: 500,
  /** Hints an attempt has not read yet; older ones are dropped. And the text of one, characters. */
  nudgesKept: 20,
  nudgeLength: 2_000,
  /** What the print of a result looks at, bytes of canonical JSON: hashed, and counted (6 ms in Node, 70 in Python). */
  printHashedBytes: 64 * 1024,
  printCountedBytes: 256 * 1024,
  /** How long an injected fault waits for a task to strike, ms; and injected faults remembered. */
  chaosArmedMs: 60_000,
  injectionsKept: 200,
  /** Longest injected fault, ms. */
  chaosMs: 600_000,
  /** Cost of one model call, USD: what is beyond is a mistake, and sums of it must stay finite. */
  usdPerCall: 1_000_000,
  /** Attempts remembered in a task's record; older ones are counted only. */
  attemptsKept: 50,
  /** Steps one task may journal. */
  stepsPerTask: 10_000,
  /** Entries in the time line of one incident; the first and the newest stay. */
  timelineLength: 200,
  /** Tasks in one submit call. */
  tasksPerSubmit: 1_000,
  /** Tasks waiting in one pool: beyond it submit is refused, visibly. */
  queuedPerPool: 1_000_000,
  /** Rows of one page of a list. */
  pageRows: 500,
  /** Events kept for `GET /api/v1/events` to resume from. */
  eventsKept: 10_000,
  /** Listeners of the event stream at once. */
  eventListeners: 200,
  /** Calls one attempt may have open at once; older ones are no longer watched. */
  openCalls: 256,
  /** Failures remembered per pool for attribution. */
  failureMarks: 500,
  /** Bytes queued towards one listener of the event stream that does not read; then it must resume. */
  eventBacklogBytes: 1024 * 1024,
  /** Requests that wait for a task (`?wait=`) at once, and how long one may wait. */
  waitingRequests: 1_000,
  waitMs: 60_000,
  /** Body of one submit call with many tasks: parsing it blocks the loop, about 15 ms a MiB. */
  batchBytes: 4 * 1024 * 1024,
  /** Open connections of the HTTP server. */
  connections: 2_000,
  /** Wrong tokens a minute from one address, and addresses remembered for it. */
  wrongTokensPerMinute: 10,
  wrongTokenAddresses: 10_000,
  /** Tasks handed to a replica beyond its concurrency, so that short tasks do not wait for a round trip. */
  prefetch: 128,
  /** Closed incidents and finished tasks kept in the embedded store, by default. */
  finishedTasksKept: 100_000,
  closedIncidentsKept: 10_000,
  /** Scheduled tasks of a pool that one transaction queues; a million due at once would hold up everybody. */
  promotedPerCommit: 10_000,
  /** Finished tasks, and closed incidents, deleted by one call of `prune`. */
  prunedPerCall: 2_000,
  /** Operator actions remembered. */
  auditRowsKept: 100_000,
  /** Calls waiting for the store at once; beyond it they are refused rather than piled up behind a slow disk. */
  storeBacklog: 10_000,
  /** Notifiers of one node: each has a loop of its own. */
  notifiers: 10,
  /** Deliveries that wait, over all notifiers; beyond it the quietest and oldest are dropped, counted and owned up to. */
  outboxRows: 10_000,
  /** Deliveries read from the outbox at once. */
  outboxPage: 50,
  /** Tries of one delivery before it is given up: about four hours with the pauses of `runtime/notifying.ts`. */
  notificationTries: 100,
  /** Pieces of evidence in one notification; each is as long as a note. */
  notificationEvidence: 10,
  notificationTitleLength: 200,
  /** Notifications kept in memory for one notifier while the store fails. */
  pressingNotifications: 10,
  /** Different texts about the node remembered, so that none is repeated every second. */
  nodeAlertsRemembered: 100,
  /** Reply of a webhook that is read before the connection is cut, bytes. */
  webhookReplyBytes: 64 * 1024,
  /** Longest cycle of calls that the loop detector looks for, calls. Seven tools asked in turn is the longest seen. */
  cyclePeriod: 8,
  /** Calls of one run remembered with their arguments: three rounds of the longest cycle. */
  callsRemembered: 24,
  /** Of the last so many calls, a repeated one counts as a loop; further apart they are looks at what has changed. */
  loopDensity: 8,
  /** Distinct results, calls and texts of one run remembered by hash: what is older counts as new, which errs on the agent's side. */
  hashesRemembered: 128,
  /** Arguments that grow by more than this from call to call are other arguments, not the same with a word added. */
  growthFactor: 1.6,
  /** Matching calls quoted as evidence: the newest. */
  evidenceCalls: 8,
  /** Text of one page of a list, characters: 500 tasks of half a megabyte would not fit anybody's memory. */
  pageTextLength: 8 * 1024 * 1024,
} as const
