import { Kafka, Partitioners, logLevel } from 'kafkajs'
import { signature } from './signature.js'
import { ANSWERED, printTerminal, requestOf } from './terminal.js'

const REQUESTS = 'trivium.requests'
// Kafka may take a moment longer than the answer itself.
const PATIENCE_MS = 5_000

// Asks over Kafka: remembers where the replies end, publishes, and reads on until every question has its end.
export async function publish(options, signal) {
  const kafka = new Kafka({ clientId: 'trivium-ask', brokers: [options.kafka], logLevel: logLevel.NOTHING, retry: { retries: 2 } })
  const requests = options.given.map((prompt, number) => requestOf(options, `${options.id}-${number + 1}`, prompt))
  const ends = await endOffsets(kafka, options.replies)
  const replies = new Replies(requests.map(keyOf), options)
  // kafkajs reads in a group only. One of its own, never committed: a reply is for whoever asked, so every asker reads
  // the whole topic from the offsets that were its ends before anything was published.
  const consumer = kafka.consumer({ groupId: `ask-${options.id}`, maxWaitTimeInMs: 100 })
  try {
    await consumer.connect()
    await consumer.subscribe({ topic: options.replies })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => replies.take(message) })
    for (const { partition, offset } of ends) consumer.seek({ topic: options.replies, partition, offset })
    await send(kafka, requests)
    await replies.all(AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs + PATIENCE_MS)]))
    return replies.status
  } finally {
    await consumer.disconnect()
  }
}

async function endOffsets(kafka, topic) {
  const admin = kafka.admin()
  try {
    await admin.connect()
    return await admin.fetchTopicOffsets(topic)
  } finally {
    await admin.disconnect()
  }
}

// The key is the identity, so that all of a request has one home: murmur2 of the key, which is kafkajs's default since
// version 2 and Kafka's own. The header says how the value is written; the answer comes in the same form.
async function send(kafka, requests) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  try {
    await producer.connect()
    await producer.send({
      topic: REQUESTS,
      messages: requests.map(recordOf)
    })
  } finally {
    await producer.disconnect()
  }
}

function recordOf(request) {
  const value = JSON.stringify(request)
  const headers = { 'content-type': 'application/json', schema: 'trivium.v1.Request' }
  const apiKey = process.env.TRIVIUM_KEY
  if (apiKey) headers['trivium-signature'] = signature(apiKey, request, value)
  return { key: keyOf(request), value, headers }
}

const keyOf = ({ tenant, id }) => `${tenant}/${id}`

// Takes the first terminal of each identity. A crash in the mesh may write one twice; the first counts.
class Replies {
  constructor(keys, options) {
    this.published = keys.length
    this.open = new Set(keys)
    this.ended = new Set()
    this.repeated = 0
    this.status = ANSWERED
    this.options = options
    this.whole = new Promise((resolve) => (this.finish = resolve))
  }

  take({ key, value }) {
    const name = key?.toString()
    if (this.ended.has(name)) this.repeated += 1
    if (!this.open.delete(name)) return
    this.ended.add(name)
    this.status = Math.max(this.status, printTerminal(JSON.parse(value), this.options))
    if (this.open.size === 0) this.finish()
  }

  async all(signal) {
    const late = () => new Error(`${this.open.size} of ${this.published} questions have no end yet; they go on in the mesh`)
    await Promise.race([
      this.whole,
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(late())))
    ])
    const counts = { published: this.published, terminals: this.ended.size, repeated: this.repeated }
    if (this.options.json) console.log(JSON.stringify(counts))
    else console.error(`${counts.published} published, ${counts.terminals} ended, ${counts.repeated} repetitions left out`)
  }
}
