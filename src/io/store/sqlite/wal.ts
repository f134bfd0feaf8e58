/**
 * Reads a write-ahead log before SQLite does. SQLite ends its recovery at the
 * first frame that does not check, in silence: right for a tail that a crash
 * tore, wrong for damage in the middle, which would lose acknowledged rows
 * while `integrity_check` says ok.
 *
 * @see https://sqlite.org/fileformat2.html#walformat
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'

const headerBytes = 32
const frameHeaderBytes = 24

/**
 * What is wrong with the log, or null when it is in order, absent, or merely torn at its end.
 *
 * Only one transaction can be unfinished: the next one is written after the sync of the one before. So
 * two commits of this log's generation behind a bad frame mean that an acknowledged one is damaged.
 */
export function walDamage(path: string): string | null {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size <= headerBytes) return null
  const file = openSync(path, 'r')
  try {
    const header = Buffer.alloc(headerBytes)
    readSync(file, header, 0, headerBytes, 0)
    const magic = header.readUInt32BE(0)
    const littleEndian = magic === 0x377f0682
    // A header that does not check was never synced, or was damaged: the mark tells these apart.
    if (!littleEndian && magic !== 0x377f0683) return null
    const sum = checksum(header.subarray(0, 24), littleEndian, [0, 0])
    if (sum[0] !== header.readUInt32BE(24) || sum[1] !== header.readUInt32BE(28)) return null
    return frameDamage(file, size, header, littleEndian, sum)
  } finally {
    closeSync(file)
  }
}

function frameDamage(file: number, size: number, header: Buffer, littleEndian: boolean, seed: Sum): string | null {
  const pageBytes = header.readUInt32BE(8)
  const frame = Buffer.alloc(frameHeaderBytes + pageBytes)
  let sum = seed
  let badFrame = 0
  let commitsBehind = 0
  for (let at = headerBytes, index = 1; at + frame.length <= size; at += frame.length, index += 1) {
    readSync(file, frame, 0, frame.length, at)
    const ours = frame.compare(header, 16, 24, 8, 16) === 0
    if (badFrame === 0) {
      if (ours) {
        sum = checksum(
          frame.subarray(frameHeaderBytes),
          littleEndian,
          checksum(frame.subarray(0, 8), littleEndian, sum),
        )
      }
      if (!ours || sum[0] !== frame.readUInt32BE(16) || sum[1] !== frame.readUInt32BE(20)) badFrame = index
    }
    if (badFrame !== 0 && ours && frame.readUInt32BE(4) !== 0) commitsBehind += 1
  }
  return commitsBehind < 2
    ? null
    : `frame ${badFrame} of its write-ahead log is damaged, with ${commitsBehind} commits behind it`
}

type Sum = readonly [number, number]

function checksum(bytes: Buffer, littleEndian: boolean, seed: Sum): Sum {
  let [first, second] = seed
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; at += 8) {
    first = (first + view.getUint32(at, littleEndian) + second) >>> 0
    second = (second + view.getUint32(at + 4, littleEndian) + first) >>> 0
  }
  return [first, second]
}
