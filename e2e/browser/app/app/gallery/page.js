import Image from 'next/image'

// Thirty images, most of them far below the window: browsers load them when they come near.
export default function Page() {
  return (
    <>
      <h1>Gallery</h1>
      <div className="two" style={{ gap: 40 }}>
        {Array.from({ length: 30 }, (_, n) => (
          <Image key={n} src={`${process.env.BASE}/photos/${n + 1}.jpg`} alt={`photo ${n + 1}`} width={640} height={480} sizes="50vw" className="fit" />
        ))}
      </div>
    </>
  )
}
