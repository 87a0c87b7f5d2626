import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export const dynamic = 'force-dynamic'

// GET answers every path with the same image: what a local pattern lets through becomes visible.
export async function GET() {
  const body = await readFile(join(process.cwd(), 'public', 'assets', 'tile.png'))
  return new Response(body, { headers: { 'Content-Type': 'image/png' } })
}
