import { expect, test } from 'vitest'
import { parse } from './parse.ts'

const id = 't_06fk2p'

test.each([
  { line: 'init', command: { name: 'init', agent: 'typescript' } },
  { line: 'init --python', command: { name: 'init', agent: 'python' } },
  { line: 'init --command', command: { name: 'init', agent: 'command' } },
  { line: 'up --config other.json', command: { name: 'up', chaos: false, config: 'other.json' } },
  { line: 'up --chaos', command: { name: 'up', chaos: true } },
  { line: 'demo', command: { name: 'demo', once: false, port: 8080 } },
  { line: 'demo --once --port 0', command: { name: 'demo', once: true, port: 0 } },
  { line: 'submit hello {"a":1}', command: { name: 'submit', pool: 'hello', input: '{"a":1}', wait: false } },
  { line: 'submit hello - --wait', command: { name: 'submit', pool: 'hello', input: '-', wait: true } },
  {
    line: 'submit hello 1 --priority -1000 --delay 10m --deadline 2500 --key k',
    command: {
      name: 'submit',
      pool: 'hello',
      input: '1',
      wait: false,
      priority: -1000,
      delayMs: 600_000,
      deadlineMs: 2_500,
      key: 'k',
    },
  },
  {
    line: 'status --url http://other:1 --token secret',
    command: { name: 'status', url: 'http://other:1', token: 'secret' },
  },
  { line: 'agents --pool support', command: { name: 'agents', pool: 'support' } },
  { line: 'tasks', command: { name: 'tasks', limit: 20 } },
  {
    line: 'tasks --pool p --status held --limit 500',
    command: { name: 'tasks', pool: 'p', status: 'held', limit: 500 },
  },
  { line: `tasks ${id}`, command: { name: 'tasks', id, limit: 20 } },
  { line: 'incidents --open --follow', command: { name: 'incidents', open: true, follow: true, limit: 20 } },
  { line: 'incidents i_1', command: { name: 'incidents', id: 'i_1', open: false, follow: false, limit: 20 } },
  { line: 'why', command: { name: 'why' } },
  { line: 'why support/3', command: { name: 'why', subject: 'support/3' } },
  { line: 'logs support/3', command: { name: 'logs', replica: 'support/3' } },
  { line: 'replay runs.jsonl', command: { name: 'replay', file: 'runs.jsonl', nudge: false, leaveOneOut: false } },
  {
    line: 'replay runs.jsonl.gz --nudge --leave-one-out --config c.json --pool p',
    command: { name: 'replay', file: 'runs.jsonl.gz', nudge: true, leaveOneOut: true, config: 'c.json', pool: 'p' },
  },
  { line: 'chaos', command: { name: 'chaos', fault: null } },
  { line: 'chaos crash --pool p', command: { name: 'chaos', fault: 'crash', pool: 'p' } },
  {
    line: 'chaos all --replica p/0 --for 10s --input {"a":1} --reason why',
    command: { name: 'chaos', fault: 'all', replica: 'p/0', forMs: 10_000, input: '{"a":1}', reason: 'why' },
  },
  { line: 'restart a/0', command: { name: 'operate', verb: 'restart', target: 'a/0', body: { kind: 'hard' } } },
  { line: 'restart a/0 --soft', command: { name: 'operate', verb: 'restart', target: 'a/0', body: { kind: 'soft' } } },
  {
    line: 'drain a/0 --reason why',
    command: { name: 'operate', verb: 'drain', target: 'a/0', body: { reason: 'why' } },
  },
  { line: 'quarantine a/0', command: { name: 'operate', verb: 'quarantine', target: 'a/0', body: {} } },
  { line: 'release a/0', command: { name: 'operate', verb: 'release', target: 'a/0', body: {} } },
  { line: 'hold a', command: { name: 'operate', verb: 'hold', target: 'a', body: {} } },
  { line: 'resume a', command: { name: 'operate', verb: 'resume', target: 'a', body: {} } },
  { line: 'resume a --force', command: { name: 'operate', verb: 'resume', target: 'a', body: { force: true } } },
  { line: 'scale a 0', command: { name: 'operate', verb: 'scale', target: 'a', body: { replicas: 0 } } },
  { line: `cancel ${id}`, command: { name: 'operate', verb: 'cancel', target: id, body: {} } },
  { line: `retry ${id}`, command: { name: 'operate', verb: 'retry', target: id, body: {} } },
  { line: `retry ${id} --input null`, command: { name: 'operate', verb: 'retry', target: id, body: { input: null } } },
  {
    line: `resolve ${id} --result null`,
    command: { name: 'operate', verb: 'resolve', target: id, body: { kind: 'result', result: null } },
  },
  {
    line: `resolve ${id} --repeat`,
    command: { name: 'operate', verb: 'resolve', target: id, body: { kind: 'repeat' } },
  },
  {
    line: `resolve ${id} --fail gone`,
    command: { name: 'operate', verb: 'resolve', target: id, body: { kind: 'fail', reason: 'gone' } },
  },
])('$line', ({ line, command }) => {
  expect(parse(line.split(' '), '1.2.3')).toEqual({ kind: 'command', command: { json: false, ...command } })
  expect(parse([...line.split(' '), '--json'], '1.2.3')).toMatchObject({ command: { json: true } })
})

test.each([
  { line: 'sumbit', says: "unknown command 'sumbit'" },
  { line: 'status --jsn', says: "unknown option '--jsn'" },
  { line: 'init --python --command', says: 'cannot be used with' },
  { line: 'submit hello {bad', says: 'must be JSON' },
  { line: 'submit hello', says: "missing required argument 'input'" },
  { line: 'submit a/b 1', says: 'A name has up to 128' },
  { line: 'submit hello 1 --priority 1001', says: 'from -1000 to 1000' },
  { line: 'submit hello 1 --priority 1.5', says: 'from -1000 to 1000' },
  { line: 'submit hello 1 --delay soon', says: 'A duration is a number with a unit' },
  { line: 'tasks --limit 0', says: 'from 1 to 500' },
  { line: 'tasks --limit 501', says: 'from 1 to 500' },
  { line: 'tasks --status well', says: 'Allowed choices' },
  { line: 'tasks ../pools', says: 'A name has up to 128' },
  { line: 'why a/../b', says: 'e.g. support/3' },
  { line: 'logs support', says: 'e.g. support/3' },
  { line: 'restart a/0 --soft --hard', says: 'either --soft or --hard' },
  { line: 'scale a 1001', says: 'from 0 to 1000' },
  { line: `drain a/0 --reason ${'x'.repeat(501)}`, says: '1 to 500 characters' },
  { line: `resolve ${id}`, says: 'give one of' },
  { line: `resolve ${id} --repeat --result 1`, says: 'give one of' },
  { line: `resolve ${id} --fail gone --reason other`, says: 'give one of' },
  { line: 'chaos crash', says: 'one of --pool and --replica' },
  { line: 'chaos crash --pool p --replica p/0', says: 'one of --pool and --replica' },
  { line: 'chaos earthquake --pool p', says: 'Allowed choices' },
  { line: 'demo --port 65536', says: 'from 0 to 65535' },
])('refuses $line', ({ line, says }) => {
  const parsed = parse(line.split(' '), '1.2.3')
  expect(parsed).toMatchObject({ kind: 'exit', code: 2, out: '' })
  expect(parsed).toHaveProperty('err', expect.stringContaining(says))
})

test('no command shows the help, as a mistake', () => {
  expect(parse([], '1.2.3')).toMatchObject({ code: 2, out: '', err: expect.stringContaining('submit') })
})

test('the version and the help are answers, on standard output', () => {
  expect(parse(['--version'], '1.2.3')).toEqual({ kind: 'exit', code: 0, out: '1.2.3\n', err: '' })
  expect(parse(['--help'], '1.2.3')).toMatchObject({ code: 0, err: '' })
})

test('every command has help with an example that parses', () => {
  const { out } = parse(['--help'], '1.2.3') as { readonly out: string }
  const names = [...out.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map(([, name]) => name ?? '')
  expect(names).toHaveLength(22)
  for (const name of names) {
    const help = parse([name, '--help'], '1.2.3') as { readonly out: string }
    const examples = [...help.out.matchAll(/^ {2}prunella (.*)$/gm)].map(([, example]) => example ?? '')
    expect(examples.length, name).toBeGreaterThan(0)
    for (const example of examples) expect(parse(words(example), '1.2.3'), example).toMatchObject({ kind: 'command' })
  }
})

/** As a shell would: quotes hold together, a redirection is not for us. */
function words(line: string): string[] {
  const found = line.replace(/ < .*/, '').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)
  return [...found].map(([, single, double, bare]) => single ?? double ?? bare ?? '')
}
