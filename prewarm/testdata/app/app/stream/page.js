import Image from 'next/image'
import { Suspense } from 'react'

async function Slow() {
  await new Promise((resolve) => setTimeout(resolve, 300))
  return <Image src="https://cdn.example/slow.jpg" width={100} height={100} alt="" />
}

export default function Page() { return <Suspense fallback={<p>wait</p>}><Slow /></Suspense> }
