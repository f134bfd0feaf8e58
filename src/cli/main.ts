#!/usr/bin/env node

// This file is also read by a Node that is too old for the rest, so that it can
// say so. Keep its syntax plain: no top-level await, no optional chaining.
const wanted = [22, 18]
const found = process.versions.node.split('.').map(Number)
const isOld = Number(found[0]) < 22 || (Number(found[0]) === 22 && Number(found[1]) < 18)

if (isOld) {
  console.error(`Prunella needs Node.js ${wanted.join('.')} or newer, and this is ${process.versions.node}.`)
  process.exitCode = 1
} else {
  import('./program.ts')
    .then(function start(program) {
      return program.main(process.argv.slice(2))
    })
    .then(
      function end(code) {
        process.exitCode = code
      },
      function fail(error) {
        console.error(error)
        process.exitCode = 1
      },
    )
}
