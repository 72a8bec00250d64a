// Tiny servers for the tests: instances that say who they are, and the running register they are known to.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { setTimeout as later } from 'node:timers/promises'

export const register = process.env.REGISTER

/** An instance: answers with its name, or as `behave` says; counts what it was asked. */
export async function instance(name) {
  const sockets = new Set()
  const one = { name, asked: 0, bodies: [], behave: undefined }
  const server = createServer(async (request, response) => {
    one.asked++
    let body = ''
    for await (const part of request) body += part
    one.bodies.push(body)
    // The page of the browser's test is of another origin.
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', '*')
    if (one.behave?.(request, response) === true) return
    response.end(name)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  one.port = server.address().port
  one.id = `127.0.0.1:${one.port}`
  one.stop = () => {
    for (const socket of sockets) socket.destroy()
    return new Promise((done) => server.close(done))
  }
  return one
}

export const instances = (...names) => Promise.all(names.map(instance))

async function ask(method, path, query, body) {
  const answer = await fetch(`${register}${path}?${new URLSearchParams(query)}`, {
    method, body, headers: body && { 'content-type': 'application/json' },
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text
}

const at = (service, { port }) => ({ serviceName: service, ip: '127.0.0.1', port })

/** Tells the register of an instance that needs no heartbeat; or of its new weight. */
export const registered = (service, one, more = {}) =>
  ask('POST', '/nacos/v1/ns/instance', { ...at(service, one), ephemeral: false, healthy: true, ...more })

export const moved = (service, one, more) =>
  ask('PUT', '/nacos/v1/ns/instance', { ...at(service, one), ephemeral: false, ...more })

export const left = (service, one) => ask('DELETE', '/nacos/v1/ns/instance', { ...at(service, one), ephemeral: false })

export const policied = (service, policy) =>
  ask('PUT', '/nacrite/v1/policies', { serviceName: service }, JSON.stringify(policy))

/** Asks again until it holds; the last failure after a time that no busy machine needs. */
export async function eventually(holds) {
  for (const end = Date.now() + 60_000; ;) {
    try {
      return await holds()
    } catch (why) {
      if (Date.now() > end) throw why
      await later(50)
    }
  }
}
