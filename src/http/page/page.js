// @ts-nocheck This runs in the browser, whose types the rest of the house must not see.

/*
 * The plain live page. Everything that comes from an agent is inserted by
 * textContent, never as markup. The token stays in this tab's sessionStorage
 * and goes out as a header: events are read by a streaming fetch, because
 * EventSource can send none.
 */

const refreshMs = 400 // A burst of events is one look at the state.
const pollMs = 2_000 // Clocks and ages change without an event.
const silenceMs = 40_000 // The node says that it is alive every 15 s.
const shownRows = 30

const byId = (id) => document.getElementById(id)
const storage = window.sessionStorage
let token = takeToken()
let lastEventId = null
let due = null
let loading = false
let again = false

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  if (given !== null) {
    storage.setItem('prunella-token', given)
    history.replaceState(null, '', location.pathname)
  }
  return storage.getItem('prunella-token')
}

class Refused extends Error {}

async function request(path, options = {}) {
  const headers = { authorization: `Bearer ${token}`, ...options.headers }
  const response = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit' })
  if (response.status === 401 || response.status === 403) throw new Refused('This token is not accepted.')
  if (!response.ok) throw new Error(`${path} answered ${response.status}`)
  return response
}

const read = async (path) => (await request(path)).json()

/** An element with text (never markup), attributes and children. */
function make(tag, { text, ...attributes } = {}, children = []) {
  const element = document.createElement(tag)
  if (text !== undefined) element.textContent = text
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

const tagOf = (text, tone) => make('span', { class: 'tag', 'data-tone': tone, text })
const line = (...children) => make('div', { class: 'line' }, children)
const empty = (tag, text) => make(tag, { class: 'empty', text })

function duration(ms) {
  if (ms === null || ms === undefined) return '–'
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`
  return `${Math.floor(ms / 3_600_000)} h`
}

const timeOf = (iso) => (iso === null ? '' : new Date(iso).toLocaleTimeString())
const words = (text) => String(text).replaceAll('_', ' ')
const statusTones = { healthy: 'good', degraded: 'warn', unhealthy: 'bad' }
const taskTones = { done: 'good', leased: 'violet', held: 'warn', returning: 'warn', failed: 'bad', dead_letter: 'bad' }
const incidentTones = { open: 'bad', needs_review: 'bad', probation: 'warn', closed: 'good' }

function toneOf({ phase, ready, probation, strikes }) {
  if (phase === 'quarantined') return 'bad'
  if (phase !== 'ready') return 'rest'
  return ready && !probation && strikes === 0 ? 'good' : 'warn'
}

function replicaCard(replica) {
  const { name, phase, incarnation, probation, strikes } = replica
  const [task] = replica.tasks
  const more = replica.tasks.length > 1 ? ` and ${replica.tasks.length - 1} more` : ''
  const resting = phase === 'ready' ? 'idle' : `process ${replica.pid ?? 'none'}`
  const doing =
    task === undefined ? resting : `${task.doing ?? 'running'} · ${duration(task.runningMs)}${more} · ${task.id}`
  const marks = [strikes === 0 ? null : `${strikes} strike${strikes === 1 ? '' : 's'}`, `#${incarnation}`]
  const clocks = `pulse ${duration(replica.pulseAgeMs)} · progress ${duration(replica.progressAgeMs)}`
  const title = `process ${replica.pid ?? 'none'}, incarnation ${incarnation}`
  return make('li', { class: 'replica', 'data-tone': toneOf(replica), title }, [
    line(
      make('span', { class: 'name', text: name }),
      tagOf(probation && phase === 'ready' ? 'probation' : phase, toneOf(replica)),
    ),
    make('p', { class: 'doing', text: doing }),
    make('p', { class: 'quiet', text: clocks }),
    make('p', { class: 'quiet', text: marks.filter((mark) => mark !== null).join(' · ') }),
  ])
}

function poolCard(pool, replicas) {
  const { queued, scheduled, held } = pool.depth
  const waiting = [
    [queued, 'queued'],
    [scheduled, 'scheduled'],
    [held, 'held'],
  ].filter(([count]) => count > 0)
  const facts = [
    `${pool.phases.ready ?? 0} of ${pool.wanted} ready`,
    `${pool.active} active`,
    ...waiting.map(([count, word]) => `${count.toLocaleString()} ${word}`),
  ]
  const head = make('div', { class: 'pool-head' }, [
    make('h3', { text: pool.name }),
    tagOf(pool.status, statusTones[pool.status]),
    make('span', { class: 'facts', text: facts.join(' · ') }),
  ])
  if (pool.hold !== null)
    head.append(make('p', { class: 'hold', text: `Held (${words(pool.hold.cause)}): ${pool.hold.reason}` }))
  return make('article', { class: 'pool' }, [head, make('ul', { class: 'replicas' }, replicas.map(replicaCard))])
}

function incidentRow(incident, open) {
  const { fault, timeline } = incident
  const where = incident.replica ?? incident.task ?? incident.pool
  const mended = incident.recoveryMs === null ? 'not yet mended' : `mended in ${duration(incident.recoveryMs)}`
  const summary = make('summary', {}, [
    line(
      make('span', { text: `${where} · ${words(fault.kind)}` }),
      tagOf(words(incident.status), incidentTones[incident.status]),
    ),
    line(
      make('span', { class: 'quiet', text: `noticed in ${duration(incident.detectionMs)}, ${mended}` }),
      make('time', { class: 'quiet', datetime: incident.detectedAt, text: timeOf(incident.detectedAt) }),
    ),
  ])
  const entries = timeline.map(({ at, kind, text }) =>
    make('li', { 'data-kind': kind }, [
      make('time', { class: 'quiet', datetime: at, text: `${timeOf(at)} ` }),
      make('span', { text }),
    ]),
  )
  const details = make('details', { 'data-id': incident.id, ...(open ? { open: '' } : {}) }, [
    summary,
    make('p', { class: 'evidence', text: `Culprit: ${fault.culprit}. ${fault.evidence.at(-1) ?? ''}` }),
    make('ol', { class: 'timeline' }, entries),
  ])
  return make('li', {}, [details])
}

function taskRow(task) {
  const last = task.attempts.at(-1)
  const note = task.reason ?? task.error?.message ?? last?.replica ?? ''
  const tries = task.attempts.length > 1 ? `${task.attempts.length} attempts` : ''
  return make('li', {}, [
    line(make('span', { class: 'mono', text: task.id }), tagOf(words(task.status), taskTones[task.status] ?? 'rest')),
    line(
      make('span', { class: 'quiet', text: `${task.pool} · ${note}` }),
      make('span', { class: 'quiet', text: tries }),
    ),
  ])
}

function dependencyItem({ name, up, reason, critical }) {
  const state = up === null ? ['unknown', 'rest'] : up ? ['ok', 'good'] : ['failed', critical ? 'bad' : 'warn']
  return make('li', { title: reason ?? '' }, [make('span', { text: name }), tagOf(...state)])
}

function show({ pools, replicas, tasks, incidents, dependencies, node }) {
  const open = incidents.filter(({ status }) => status !== 'closed').length
  const ready = replicas.filter(({ phase }) => phase === 'ready').length
  const state = node.shuttingDown ? ['shutting down'] : []
  byId('summary').textContent = [
    `${ready} of ${replicas.length} replicas ready`,
    open === 0 ? 'no open incident' : `${open} open incident${open === 1 ? '' : 's'}`,
    ...state,
  ].join(' · ')
  document.title = open === 0 ? 'Prunella' : `(${open}) Prunella`
  byId('pools').replaceChildren(
    ...pools.map((pool) =>
      poolCard(
        pool,
        replicas.filter((replica) => replica.pool === pool.name),
      ),
    ),
  )
  byId('dependencies').replaceChildren(...dependencies.map(dependencyItem))
  showIncidents(incidents)
  byId('tasks').replaceChildren(...(tasks.length === 0 ? [empty('li', 'No task yet.')] : tasks.map(taskRow)))
}

/** Keeps open what the reader has opened, and the keyboard where it was. */
function showIncidents(incidents) {
  const list = byId('incidents')
  const opened = new Set([...list.querySelectorAll('details[open]')].map(({ dataset }) => dataset.id))
  // The first look shows the newest story that has not ended.
  if (list.childElementCount === 0) opened.add(incidents.find(({ status }) => status !== 'closed')?.id)
  const focused = document.activeElement?.closest?.('details')?.dataset.id
  const rows = incidents.map((incident) => incidentRow(incident, opened.has(incident.id)))
  list.replaceChildren(...(rows.length === 0 ? [empty('li', 'Nothing has gone wrong.')] : rows))
  if (focused !== undefined) list.querySelector(`details[data-id="${CSS.escape(focused)}"] summary`)?.focus()
}

/** One look at the state at a time; what arrives meanwhile asks for one more. */
async function refresh() {
  if (loading) {
    again = true
    return
  }
  loading = true
  try {
    const paths = [
      'pools',
      'replicas',
      `tasks?limit=${shownRows}`,
      `incidents?limit=${shownRows}`,
      'dependencies',
      'node',
    ]
    const [pools, replicas, tasks, incidents, dependencies, node] = await Promise.all(
      paths.map((path) => read(`/api/v1/${path}`)),
    )
    show({ ...pools, ...replicas, ...tasks, ...incidents, ...dependencies, node })
  } finally {
    loading = false
    if (again) {
      again = false
      refreshSoon()
    }
  }
}

function refreshSoon() {
  if (due !== null) return
  due = setTimeout(() => {
    due = null
    refresh().catch(() => undefined) // The stream notices a cut and says so.
  }, refreshMs)
}

function setConnection(state, text) {
  document.body.dataset.state = state
  const sign = byId('connection')
  sign.dataset.state = state
  sign.textContent = text
}

async function listen() {
  const over = new AbortController()
  let watchdog = setTimeout(() => over.abort(), silenceMs)
  try {
    const headers = lastEventId === null ? {} : { 'last-event-id': lastEventId }
    const response = await request('/api/v1/events', { headers, signal: over.signal })
    setConnection('live', 'live')
    refreshSoon()
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(watchdog)
      watchdog = setTimeout(() => over.abort(), silenceMs)
      const blocks = (rest + part.value).split('\n\n')
      rest = blocks.pop()
      for (const block of blocks) {
        lastEventId = /^id: (.+)$/m.exec(block)?.[1] ?? lastEventId
        if (/^data: /m.test(block)) refreshSoon()
      }
    }
  } finally {
    clearTimeout(watchdog)
    over.abort()
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function run() {
  byId('login').hidden = true
  byId('main').hidden = false
  for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, 5_000)) {
    const sinceMs = performance.now()
    try {
      await listen()
    } catch (error) {
      if (error instanceof Refused) return askForToken(error.message)
    }
    if (performance.now() - sinceMs > 10_000) waitMs = 500
    setConnection('cut', `cut off since ${new Date().toLocaleTimeString()}, trying again`)
    await pause(waitMs)
  }
}

function askForToken(message = '') {
  storage.removeItem('prunella-token')
  setConnection('locked', 'locked')
  byId('login-error').textContent = message
  byId('main').hidden = true
  byId('login').hidden = false
  byId('token').focus()
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault()
  token = byId('token').value.trim()
  byId('token').value = ''
  storage.setItem('prunella-token', token)
  void run()
})
window.addEventListener('hashchange', () => location.hash.includes('token=') && location.reload())
setInterval(
  () => document.visibilityState === 'visible' && document.body.dataset.state === 'live' && refreshSoon(),
  pollMs,
)

if (token === null) askForToken()
else void run()
