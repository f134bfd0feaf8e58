import { expect, test } from 'vitest'
import { parseDuration, parseSize, showDuration } from './units.ts'

test.each([
  ['250ms', 250],
  ['15s', 15_000],
  ['1.5m', 90_000],
  ['1h', 3_600_000],
  ['2d', 172_800_000],
  [0, 0],
  [1_500, 1_500],
  ['366d', 31_622_400_000],
  ['367d', null],
  [-1, null],
  ['15', null],
  ['15 s', null],
  ['', null],
  [Number.NaN, null],
  [Number.POSITIVE_INFINITY, null],
  [null, null],
  [{}, null],
])('duration %j is %j', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  ['512Mi', 536_870_912],
  ['1G', 1_000_000_000],
  ['1.5Ki', 1_536],
  ['100', 100],
  [4_096, 4_096],
  ['512MB', null],
  ['Mi', null],
  [-1, null],
])('size %j is %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each([
  [90_000, '90s'],
  [120_000, '2m'],
  [1, '1ms'],
  [0, '0ms'],
])('%j ms reads %s', (ms, text) => {
  expect(showDuration(ms)).toBe(text)
})
