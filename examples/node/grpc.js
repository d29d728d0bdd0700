import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { CallFailed, printPiece, printTerminal, requestOf } from './terminal.js'

// The .proto files are read as they are; nothing is generated.
const PROTOS = fileURLToPath(new URL('../../protos', import.meta.url))
const READ = { includeDirs: [PROTOS], keepCase: true, longs: Number, oneofs: true }

// In plain text, or over TLS to a gateway whose certificate the CA of --ca has signed.
function connect({ gateway, ca }) {
  const { trivium } = grpc.loadPackageDefinition(loadSync('trivium/v1/services.proto', READ))
  const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure()
  return new trivium.v1.Gateway(gateway, credentials)
}

// The caller's API key, when the environment has one.
function metadataOf() {
  const metadata = new grpc.Metadata()
  if (process.env.TRIVIUM_KEY) metadata.set('authorization', `Bearer ${process.env.TRIVIUM_KEY}`)
  return metadata
}

// The deadline travels with the call: everything behind the gateway keeps to it. A call without one is refused.
function callOptions({ timeoutMs }) {
  return { deadline: Date.now() + timeoutMs }
}

// A call that came to no terminal: a gRPC status, and the reason that the gateway puts into the trailers.
function failed(error) {
  const told = (name) => error.metadata?.get(name)[0] ?? ''
  return new CallFailed(grpc.status[error.code], error.details, told('trivium-reason'), told('trivium-field'))
}

function unary(client, method, message, metadata, options, signal) {
  return new Promise((resolve, reject) => {
    const call = client[method](message, metadata, callOptions(options), (error, reply) => {
      client.close()
      if (error) reject(failed(error))
      else resolve(reply)
    })
    signal.addEventListener('abort', () => call.cancel())
  })
}

// One call, one terminal. A refused or failed request is a terminal too, not an error.
export async function ask(options, signal) {
  const metadata = metadataOf()
  if (options.durable) metadata.set('idempotency-key', options.id)
  const request = requestOf(options, options.id, options.given[0])
  const terminal = await unary(connect(options), 'Complete', request, metadata, options, signal)
  return printTerminal(terminal, options)
}

// Pieces as they come, then exactly one terminal. Cancelling the call stops the model.
export async function stream(options, signal) {
  const client = connect(options)
  const call = client.CompleteStream(requestOf(options, options.id, options.given[0]), metadataOf(), callOptions(options))
  signal.addEventListener('abort', () => call.cancel())
  try {
    for await (const event of call) {
      if (event.terminal) return printTerminal(event.terminal, options, { shown: true })
      printPiece(event.delta, options)
    }
  } catch (error) {
    throw failed(error)
  } finally {
    client.close()
  }
  throw new Error('the stream ended without a terminal: what came is no answer')
}

// For who does not hold the call. It ends in the terminal `failed`, reason `cancelled`.
export async function cancel(options, signal) {
  const identity = { tenant: options.tenant, id: options.given[0] }
  const reply = await unary(connect(options), 'Cancel', { identity }, metadataOf(), options, signal)
  console.log(reply.state)
  return 0
}
