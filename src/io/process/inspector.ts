export interface InspectorAddress {
  readonly url: string
}

/** Frames of the stack that are reported. */
const framesMax = 10
/** One answer of the inspector, characters: what pretends to be one must not fill our memory. */
const messageMax = 1_000_000

/**
 * Reads a line of stderr while we wait for the inspector: its address, `noise`
 * for what it says besides, null for anything else. Only our own loopback
 * counts: the line could have been written by the agent.
 */
export function inspectorAddress(line: string): InspectorAddress | 'noise' | null {
  const match = /^Debugger listening on (ws:\/\/127\.0\.0\.1:\d{1,5}\/[0-9a-f-]{36})$/.exec(line)
  if (match?.[1] !== undefined) return { url: match[1] }
  return /^(Debugger |For help, see: https:\/\/nodejs\.org|Waiting for the debugger)/.test(line) ? 'noise' : null
}

interface PausedAt {
  readonly functionName?: unknown
  readonly url?: unknown
  readonly location?: { readonly scriptId?: unknown; readonly lineNumber?: unknown; readonly columnNumber?: unknown }
}

/**
 * Asks a blocked Node process where it is, and lets it go on. Empty when it does
 * not tell in time (inside `execSync` or a long native call).
 */
export async function captureStack(
  address: Promise<InspectorAddress>,
  root: string,
  bound: AbortSignal,
): Promise<readonly string[]> {
  const timedOut = new Promise<null>((resolve) => bound.addEventListener('abort', () => resolve(null), { once: true }))
  const found = await Promise.race([address, timedOut])
  if (found === null) return []
  const socket = new WebSocket(found.url)
  const files = new Map<unknown, string>()
  const paused = new Promise<readonly PausedAt[]>((resolve) => {
    socket.addEventListener('open', () => {
      socket.send('{"id":1,"method":"Debugger.enable"}')
      socket.send('{"id":2,"method":"Debugger.pause"}')
    })
    socket.addEventListener('error', () => resolve([]))
    socket.addEventListener('close', () => resolve([]))
    socket.addEventListener('message', (event) => {
      const { method, params } = readMessage(event.data)
      if (method === 'Debugger.scriptParsed') files.set(params?.scriptId, String(params?.url))
      if (method === 'Debugger.paused') resolve(Array.isArray(params?.callFrames) ? params.callFrames : [])
    })
  })
  const frames = await Promise.race([paused, timedOut])
  if (frames !== null && socket.readyState === WebSocket.OPEN) socket.send('{"id":3,"method":"Debugger.disable"}')
  socket.close()
  return (frames ?? []).slice(0, framesMax).map((frame) => describe(frame ?? {}, files, root))
}

interface Message {
  readonly method?: string
  readonly params?: { readonly scriptId?: unknown; readonly url?: unknown; readonly callFrames?: unknown }
}

/** Anything may sit at that address: what is not a message of the inspector is nothing. */
function readMessage(data: unknown): Message {
  if (typeof data !== 'string' || data.length > messageMax) return {}
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function describe(
  { functionName, url, location }: PausedAt,
  files: ReadonlyMap<unknown, string>,
  root: string,
): string {
  const file = shorten(files.get(location?.scriptId) ?? String(url ?? ''), root)
  const line = Number(location?.lineNumber ?? 0) + 1
  const column = Number(location?.columnNumber ?? 0) + 1
  const name = typeof functionName === 'string' && functionName !== '' ? functionName : '(anonymous)'
  return `${file}:${line}:${column} ${name}`
}

function shorten(url: string, root: string): string {
  if (!URL.canParse(url) || !url.startsWith('file:///')) return url
  const path = decodeURI(new URL(url).pathname)
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path
}
