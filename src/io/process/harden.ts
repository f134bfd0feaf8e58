/**
 * Closes the supervisor's inspector to its replicas: Node opens it on SIGUSR1
 * unless somebody listens to that signal. A replica under our own user id could
 * send it, and an open inspector is full control.
 */
export function hardenSelf(): void {
  if (!process.listeners('SIGUSR1').includes(ignore)) process.on('SIGUSR1', ignore)
}

function ignore(): void {}
