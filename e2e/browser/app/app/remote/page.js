import Image from 'next/image'

// Rendered for each request, because the port of the other host is known only when the test runs.
export const dynamic = 'force-dynamic'

export default function Page() {
  const host = process.env.E2E_REMOTE
  return (
    <>
      <h1>Remote</h1>
      <Image src={`${host}/remote/far.jpg`} alt="far" width={1000} height={700} sizes="100vw" className="fit" />
      <div className="row" style={{ marginTop: 12 }}>
        <Image src={`${host}/remote/island.png?v=1&w=2`} alt="island" width={600} height={400} sizes="300px" className="fit" />
        <Image src={`${host}/remote/moved.png`} alt="redirected" width={300} height={200} />
        <Image src={`${host}/remote/moving.gif`} alt="animated" width={200} height={150} />
      </div>
    </>
  )
}
