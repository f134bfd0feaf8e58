import { describe, expect, test } from 'vitest'
import { createRedact, isSecretName, redact, stripControls } from './redact.ts'

describe('patterns (S12)', () => {
  test.each([
    ['key sk-proj-abcdefghijklmnop1234 end', 'key [redacted] end'],
    ['jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end', 'jwt [redacted] end'],
    ['postgres://user:pa55word@db/x', 'postgres://[redacted]@db/x'],
    ['redis://:pa55word@db', 'redis://[redacted]@db'],
    ['AKIAIOSFODNN7EXAMPLE', '[redacted]'],
    ['ghp_abcdefghijklmnopqrstuvwxyz0123456789', '[redacted]'],
    ['xoxb-1234567890-abcdef', '[redacted]'],
    ['Authorization: Bearer abcdefgh.ijk', 'Authorization: Bearer [redacted]'],
    ['GET /v1?api_key=abcdef123&x=1', 'GET /v1?api_key=[redacted]&x=1'],
    ['{"password": "hunter22"}', '{"password": "[redacted]"}'],
    ['OPENAI_API_KEY=abcdef123', 'OPENAI_API_KEY=[redacted]'],
    ['-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x', '[redacted] x'],
    ['-----BEGIN PRIVATE KEY-----\ncut off', '[redacted]'],
  ])('%s', (text, clean) => {
    expect(redact(text)).toBe(clean)
  })

  test.each([
    'https://example.com/a:b@c is fine',
    'tokens: 12',
    'the task ask-for-a-long-walk',
    'password is not set',
    'http://[::1]:8080/x',
  ])('%s stays', (text) => {
    expect(redact(text)).toBe(text)
  })

  test('is linear: 200 kB of near misses take no time', () => {
    const fromMs = performance.now()
    for (const piece of ['a://', 'eyJaaaaaaaa.', 'token', '-----BEGIN ', 'bearer ', 'x_api'])
      redact(piece.repeat(200_000 / piece.length))
    expect(performance.now() - fromMs).toBeLessThan(2_000)
  })
})

describe('known values', () => {
  test('literal and percent-encoded, the longer one first, patterns in them inert', () => {
    const clean = createRedact(['s3cret+value', 's3cret+value-long', '.*.*.*'])
    expect(clean('a s3cret+value b s3cret+value-long c s3cret%2Bvalue d .*.*.* e')).toBe(
      'a [redacted] b [redacted] c [redacted] d [redacted] e',
    )
    expect(clean('anything else')).toBe('anything else')
  })

  test.each([
    ['short', 'short'],
    ['sixsix', '[redacted]'],
  ])('%s: six characters are a secret, five are a word', (secret, clean) => {
    expect(createRedact([secret])(secret)).toBe(clean)
  })

  test('names that say so', () => {
    expect(
      ['OPENAI_API_KEY', 'MY_TOKEN', 'DB_PASSWORD', 'DATABASE_URL', 'LOG_LEVEL', 'HOME'].map(isSecretName),
    ).toEqual([true, true, true, true, false, false])
  })
})

test.each([
  ['\u001b[31mred\u001b[0m', 'red'],
  ['\u001b]52;c;aGVsbG8=\u0007after', 'after'],
  ['\u001b]8;;http://evil\u001b\\link\u001b]8;;\u001b\\', 'link'],
  ['\u001bP1;2qdata\u001b\\x', 'x'],
  ['\u009b31mx\u009d0;title\u009cy', 'xy'],
  ['a\r\nb\u0000c\u007fd\te', 'abcd\te'],
  ['\u202eevil\u202c \u2066x\u2069', 'evil x'],
  ['\u001b', ''],
  ['plain – ünïcode 😀', 'plain – ünïcode 😀'],
])('%j becomes inert', (text, clean) => {
  expect(stripControls(text)).toBe(clean)
})
