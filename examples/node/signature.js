import { createHash, createHmac } from 'node:crypto'

const sha256 = (data) => createHash('sha256').update(data).digest()

// Says whose request a record is, for a tenant that must sign: docs/security.md has it in words.
export function signature(apiKey, { tenant, id, replay = 0 }, value) {
  const secret = createHmac('sha256', apiKey).update('trivium signing secret v1').digest()
  const signed = createHmac('sha256', secret)
  for (const part of ['trivium request v1', tenant, id, String(replay), sha256(value)]) {
    const bytes = Buffer.from(part)
    signed.update(`${bytes.length}:`).update(bytes)
  }
  return `v1 ${sha256(apiKey).toString('hex').slice(0, 12)} ${signed.digest('hex')}`
}
