import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export const dynamic = 'force-dynamic'

// GET answers what the first path segment says: base64url of JSON {status, headers, file | body, pad, chunks, delay}.
// The rest of the path only gives the answer a name. It is the upstream of relative urls.
export async function GET(_request, { params }) {
  const { program } = await params
  const p = JSON.parse(Buffer.from(program[0], 'base64url').toString())
  if (p.delay) await new Promise((resolve) => setTimeout(resolve, p.delay))
  let body = p.body ? Buffer.from(p.body, 'base64') : new Uint8Array()
  if (p.file) body = await readFile(join(process.cwd(), 'public', 'assets', p.file))
  if (p.pad) body = Buffer.concat([body, Buffer.alloc(p.pad)])
  if (p.chunks) {
    const whole = body
    const size = Math.ceil(whole.length / p.chunks)
    body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < whole.length; at += size) controller.enqueue(whole.subarray(at, at + size))
        controller.close()
      },
    })
  }
  const bodiless = [204, 205, 304].includes(p.status)
  return new Response(bodiless ? null : body, { status: p.status ?? 200, headers: p.headers })
}
