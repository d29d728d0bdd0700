#!/usr/bin/env node
// Puts questions to a Trivium mesh: over gRPC, or over Kafka.
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { ask, cancel, stream } from './grpc.js'
import { publish } from './kafka.js'
import { CallFailed, UNKNOWN } from './terminal.js'

const USAGE = `usage: node ask.js COMMAND [options] ARGUMENT...

  ask     "Where is my order?"       one question over gRPC, its whole answer
  stream  "Where is my order?"       the same, piece by piece; Ctrl-C cancels it and stops the model
  cancel  ID                         cancel a question that somebody else is asking
  publish "Question" "Question"...   questions over Kafka (as JSON), each answered once

options:
  --gateway HOST:PORT   the gateway                                       localhost:7300
  --ca FILE             the CA that signed its certificate                none: plain text
  --kafka HOST:PORT     a Kafka broker (publish)                          localhost:9092
  --replies TOPIC       the tenant's reply topic (publish)                trivium.responses
  --tenant NAME         who asks                                          acme
  --endpoint NAME       what kind of work; /auto lets the mesh find out   /auto
  --id ID               yours to choose; the same id again is the same request
  --timeout SECONDS     how long an answer may take                       30
  --durable             through the log: the question survives the gateway (ask)
  --json                print JSON

example: node ask.js stream --tenant acme --endpoint /auto "What is never written to the cache?"
An API key is taken from TRIVIUM_KEY. Exit status: 0 answered, 1 ended without an answer, 2 no end was seen.`

const OPTIONS = {
  gateway: { type: 'string', default: 'localhost:7300' },
  ca: { type: 'string' },
  kafka: { type: 'string', default: 'localhost:9092' },
  replies: { type: 'string', default: 'trivium.responses' },
  tenant: { type: 'string', default: 'acme' },
  endpoint: { type: 'string', default: '/auto' },
  id: { type: 'string' },
  timeout: { type: 'string', default: '30' },
  durable: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false }
}

const COMMANDS = { ask, stream, cancel, publish }

function parse(line) {
  const { values, positionals } = parseArgs({ args: line, options: OPTIONS, allowPositionals: true })
  const [name, ...given] = positionals
  if (values.help) return { help: true }
  if (!(name in COMMANDS)) throw new Error(`${name ?? 'nothing'} is no command: ${Object.keys(COMMANDS).join(', ')}`)
  if (given.length === 0 || (given.length > 1 && name !== 'publish')) {
    throw new Error(`${name} takes one argument, ${given.length} were given; a question is quoted`)
  }
  const timeoutMs = Math.round(Number(values.timeout) * 1000)
  if (!(timeoutMs > 0)) throw new Error(`--timeout is ${values.timeout}; it is a number of seconds above 0`)
  return { ...values, name, given, timeoutMs, id: values.id ?? `node-${randomUUID()}` }
}

async function main() {
  let options
  try {
    options = parse(process.argv.slice(2))
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`)
    return UNKNOWN
  }
  if (options.help) {
    console.log(USAGE)
    return 0
  }
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  try {
    return await COMMANDS[options.name](options, interrupted.signal)
  } catch (error) {
    if (error instanceof CallFailed && options.json) console.log(JSON.stringify(error))
    else console.error(error.message)
    return UNKNOWN
  }
}

process.exitCode = await main()
