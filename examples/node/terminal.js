// Exit statuses.
export const ANSWERED = 0
export const UNANSWERED = 1
export const UNKNOWN = 2

export class CallFailed extends Error {
  constructor(status, details, reason, field) {
    super(`${status}: ${details}${reason ? ` [${reason} ${field}]` : ''}`)
    this.told = { status, message: details, reason, field }
  }

  toJSON() {
    return this.told
  }
}

// What both doors take.
export function requestOf({ tenant, endpoint, timeoutMs }, id, prompt) {
  return { tenant, id, endpoint, prompt, timeout_ms: timeoutMs }
}

export function printPiece(piece, { json }) {
  process.stdout.write(json ? `${JSON.stringify({ delta: piece })}\n` : piece)
}

// Shows how a request ended and gives the exit status. shown: its text was shown already.
export function printTerminal(terminal, { json }, { shown = false } = {}) {
  if (json) {
    console.log(JSON.stringify(terminal))
  } else {
    if (!shown && terminal.answer) console.log(terminal.answer.text)
    console.log(`\n${terminal.identity.id}: ${summary(terminal)}`)
  }
  return terminal.kind === 'answered' ? ANSWERED : UNANSWERED
}

function summary({ kind, reason, target, tier, arrived_ms, ended_ms, cost_micro_dollars }) {
  if (reason) return `${kind} (${reason.code}): ${[reason.message, reason.hint].filter(Boolean).join('; ')}`
  const dollars = (Number(cost_micro_dollars ?? 0) / 1e6).toFixed(6)
  return `${kind} by ${target || tier} in ${ended_ms - arrived_ms} ms for $${dollars}`
}
