import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { limits } from '../../model/limits.ts'
import { parseResult } from './bare.ts'
import { type Controller, locate } from './cgroup.ts'
import { absoluteArguments, findCommand } from './command.ts'
import { buildEnvironment, secretValues } from './environment.ts'
import { inspectorAddress } from './inspector.ts'
import { unreadableFor } from './isolation.ts'
import { stateOf } from './look.ts'
import { createSlots } from './machine.ts'
import { createLineReader } from './output.ts'
import { parseOpenFilesLimit, parseStat } from './proc.ts'
import { relativeImports } from './strip-job.ts'

const folder = mkdtempSync(join(tmpdir(), 'prunella-pure-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('/proc/<pid>/stat with a name that holds everything', () => {
  const tail = 'R 7 8 9 0 -1 4194304 100 0 0 0 12 3 0 0 20 0 1 0 4242 1000000 256 18446744073709551615'
  expect(parseStat(`42 (a) b) (c\nd) ${tail}`)).toEqual({
    pid: 42,
    state: 'R',
    parent: 7,
    group: 8,
    cpuTicks: 15,
    startTicks: 4242,
    residentBytes: 256 * 4096,
  })
  expect([parseStat(''), parseStat('42 (x) R 1')]).toEqual([null, null])
})

test.each([
  {
    limits: 'Limit  Soft  Hard  Units\nMax open files            1024                 1048576              files\n',
    most: 1024,
  },
  { limits: 'Max open files            unlimited            unlimited            files\n', most: null },
  { limits: '', most: null },
])('the soft limit of open files: $most', ({ limits, most }) => {
  expect(parseOpenFilesLimit(limits)).toBe(most)
})

test.each([
  ['R', 'R'],
  ['S', 'S'],
  ['D', 'D'],
  ['T', 'T'],
  ['t', 'T'],
  ['Z', 'Z'],
  ['X', 'gone'],
  ['I', 'S'],
  ['', 'S'],
])('state %s is %s', (letter, state) => {
  expect(stateOf(letter)).toBe(state)
})

describe('environment', () => {
  const request = {
    pass: ['PASSED'],
    set: { OWN: 'x', PRUNELLA_POOL: 'forged', HOME: '/chosen' },
    pool: 'p',
    marker: 'm',
    root: '/r',
    homeFolder: '/h',
    temporaryFolder: '/t',
    strippedFolder: null,
    compiledFolder: null,
  }
  test('allow-list, own folders, the pool’s own words, and ours last', () => {
    const own = {
      PATH: '/bin',
      LC_ALL: 'C',
      HOME: '/home/me',
      TMPDIR: '/mine',
      SECRET: 's',
      NODE_OPTIONS: '-r evil',
      PASSED: 'yes',
      HTTPS_PROXY: 'http://u:p@x',
      TZ: undefined,
    }
    expect(buildEnvironment(request, own)).toEqual({
      PATH: '/bin',
      LC_ALL: 'C',
      PASSED: 'yes',
      HOME: '/chosen',
      TMPDIR: '/t',
      OWN: 'x',
      PRUNELLA_POOL: 'p',
      PRUNELLA_PROCESS: 'm',
      PRUNELLA_ROOT: '/r',
    })
  })
  test('the folder of stripped types only when there is one', () => {
    expect(buildEnvironment({ ...request, strippedFolder: '/s' }, {})).toMatchObject({ PRUNELLA_STRIPPED: '/s' })
  })

  test('the folder of compiled code only when there is one, and not against the pool’s own word', () => {
    expect(buildEnvironment(request, {})).not.toHaveProperty('NODE_COMPILE_CACHE')
    expect(buildEnvironment({ ...request, compiledFolder: '/c' }, {})).toMatchObject({ NODE_COMPILE_CACHE: '/c' })
    const set = { NODE_COMPILE_CACHE: '/own' }
    expect(buildEnvironment({ ...request, set, compiledFolder: '/c' }, {})).toMatchObject(set)
  })
  test('values whose names say that they are secret', () => {
    expect(secretValues(['A_TOKEN', 'B', 'C_KEY'], { D_SECRET: 'd', LEVEL: 'e' }, { A_TOKEN: 'a', B: 'b' })).toEqual([
      'a',
      'd',
    ])
  })
})

describe('commands', () => {
  writeFileSync(join(folder, 'agent.py'), '')
  mkdirSync(join(folder, 'bin'))
  test('arguments that name a file below the root become absolute', () => {
    expect(
      absoluteArguments(['python3', 'agent.py', '--file=agent.py', 'missing.py', 'bin', '/etc/hosts'], folder),
    ).toEqual(['python3', join(folder, 'agent.py'), '--file=agent.py', 'missing.py', 'bin', '/etc/hosts'])
    expect(absoluteArguments(['./agent.py'], folder)).toEqual([join(folder, 'agent.py')])
    // The first word without a slash is a command, even when a file has its name.
    expect(absoluteArguments(['agent.py'], folder)).toEqual(['agent.py'])
  })
  test('found on the path, only when executable', () => {
    expect(findCommand('sh')).toMatch(/\/sh$/)
    expect(findCommand(join(folder, 'agent.py'))).toBeNull()
    expect(findCommand('no-such-program')).toBeNull()
  })
})

test('the folder that closes the way is named', () => {
  const closed = join(folder, 'closed')
  const file = join(closed, 'inner', 'agent.ts')
  mkdirSync(join(closed, 'inner'), { recursive: true })
  writeFileSync(file, '', { mode: 0o644 })
  chmodSync(folder, 0o711)
  expect(unreadableFor(61_000, file)).toBeNull()
  chmodSync(file, 0o640)
  expect(unreadableFor(61_000, file)).toBe(file)
  chmodSync(file, 0o644)
  chmodSync(closed, 0o700)
  expect(unreadableFor(61_000, file)).toBe(closed)
})

test('slots: the lowest free number', () => {
  const slots = createSlots()
  expect([slots.take(), slots.take(), slots.take()]).toEqual([0, 1, 2])
  slots.free(1)
  expect([slots.take(), slots.take()]).toEqual([1, 3])
})

test.each<{
  name: string
  mounts: string
  self: string
  place: ReturnType<typeof locate>
  controller?: Controller
}>([
  {
    name: 'v1',
    mounts: 'cgroup /cg/cpu cgroup rw,cpu 0 0\ncgroup /cg/memory cgroup rw,memory 0 0\ncgroup2 /cg/u cgroup2 rw 0 0',
    self: '4:memory:/a/b\n0::/\n',
    place: { mount: '/cg/memory', own: '/a/b', version: 1 },
  },
  {
    name: 'v1, of two controllers the one that is asked for',
    controller: 'pids',
    mounts: 'cgroup /cg/memory cgroup rw,memory 0 0\ncgroup /cg/pids cgroup rw,pids 0 0\ncgroup2 /cg/u cgroup2 rw 0 0',
    self: '8:pids:/p\n4:memory:/a/b\n0::/\n',
    place: { mount: '/cg/pids', own: '/p', version: 1 },
  },
  {
    name: 'v2',
    mounts: 'cgroup2 /cg cgroup2 rw 0 0',
    self: '0::/user.slice\n',
    place: { mount: '/cg', own: '/user.slice', version: 2 },
  },
  { name: 'none', mounts: 'proc /proc proc rw 0 0', self: '', place: null },
])('kernel groups: $name', ({ mounts, self, place, controller = 'memory' }) => {
  expect(locate(mounts, self, controller)).toEqual(place)
})

describe('output', () => {
  function reader() {
    const time = { nowMs: 0 }
    const lines: string[] = []
    const floods: number[] = []
    const read = createLineReader({
      nowMs: () => time.nowMs,
      onLine: (line) => void lines.push(line),
      onFlood: (ms) => void floods.push(ms),
      tailBytes: 10,
    })
    return {
      time,
      lines,
      floods,
      push: (text: string) => read.push(Buffer.from(text)),
      end: () => read.end(),
      tail: () => read.tail(),
    }
  }
  test('lines in any pieces, the last without a newline', () => {
    const on = reader()
    for (const char of 'one\ntwo\n\nthree') on.push(char)
    on.end()
    expect(on.lines).toEqual(['one', 'two', '', 'three'])
    expect(on.tail()).toBe('two\n\nthree')
  })
  test.each([
    { length: limits.logLineBytes, end: 'x' },
    { length: limits.logLineBytes + 1, end: ' [1 bytes cut]' },
  ])('a line of $length bytes', ({ length, end }) => {
    const on = reader()
    on.push('x'.repeat(length))
    on.push('\n')
    expect(on.lines[0]?.endsWith(end)).toBe(true)
    expect(on.lines[0]?.startsWith('x'.repeat(limits.logLineBytes))).toBe(true)
  })
  test('beyond the lines of a second, bytes are counted and said in the next', () => {
    const on = reader()
    on.push('x\n'.repeat(limits.logLinesPerSecond + 3))
    expect(on.lines).toHaveLength(limits.logLinesPerSecond)
    on.time.nowMs = 999
    on.push('y\n')
    expect(on.lines).toHaveLength(limits.logLinesPerSecond)
    on.time.nowMs = 1_000
    on.push('z\n')
    expect(on.lines.slice(limits.logLinesPerSecond)).toEqual([
      '[8 bytes of output were not kept: more than 500 lines a second]',
      'z',
    ])
  })
  test('beyond the bytes of a second reading stops until the next', () => {
    const on = reader()
    const chunk = 'x'.repeat(limits.outputBytesPerSecond)
    on.push(chunk)
    expect(on.floods).toEqual([])
    on.push('x')
    expect(on.floods).toEqual([1_000])
  })
})

test.each([
  [
    'Debugger listening on ws://127.0.0.1:40123/0f2b1c52-9a2b-4c8d-9c1e-5b0a3f6f2f11',
    { url: 'ws://127.0.0.1:40123/0f2b1c52-9a2b-4c8d-9c1e-5b0a3f6f2f11' },
  ],
  ['Debugger listening on ws://10.0.0.1:40123/0f2b1c52-9a2b-4c8d-9c1e-5b0a3f6f2f11', 'noise'],
  ['Debugger listening on ws://127.0.0.1:80@evil.example:1/0f2b1c52-9a2b-4c8d-9c1e-5b0a3f6f2f11', 'noise'],
  ['For help, see: https://nodejs.org/en/docs/inspector', 'noise'],
  ['anything else', null],
])('%s', (line, address) => {
  expect(inspectorAddress(line)).toEqual(address)
})

test.each([
  ['{"a":1}', { a: 1 }],
  ['[1,2]', [1, 2]],
  ['42\n', 42],
  ['"x"', 'x'],
  ['null', null],
  ['true', true],
  ['plain words', 'plain words'],
  ['1, "x": 2', '1, "x": 2'],
  ['', ''],
  ['a\u001b[31mb\nc', 'ab\nc'],
  ['['.repeat(100), '['.repeat(100)],
  [`${'['.repeat(100)}${']'.repeat(100)}`, `${'['.repeat(100)}${']'.repeat(100)}`],
])('the result of a command: %s', (output, result) => {
  expect(parseResult(Buffer.from(output))).toEqual(result)
})

test('relative imports, in all their forms', () => {
  const source = `import { a } from './a.ts'
    import type { B } from "../b.ts"
    import './c.ts'
    export * from './d/e.ts'
    const f = await import('./f.mts')
    import g from 'package'
    import h from '/absolute.ts'`
  expect(relativeImports(source, '/x/y/agent.ts')).toEqual([
    '/x/y/a.ts',
    '/x/b.ts',
    '/x/y/c.ts',
    '/x/y/d/e.ts',
    '/x/y/f.mts',
  ])
})
