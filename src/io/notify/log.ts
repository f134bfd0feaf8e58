import type { Notification } from '../../model/notification.ts'
import type { Log } from '../../port/log.ts'
import type { SendOutcome } from '../../port/notifier.ts'

/** One structured line a notification, at its level. */
export function sendToLog(log: Log, notification: Notification): SendOutcome {
  const { id, incidentId, change, severity, title, text, owner, commands, sequence } = notification
  const facts = { notification: id, incident: incidentId, change, severity, owner, commands, sequence }
  const message = `notification: ${title}. ${text}`
  if (severity === 'info') log.info(facts, message)
  else if (severity === 'warning') log.warn(facts, message)
  else log.error(facts, message)
  return 'sent'
}
