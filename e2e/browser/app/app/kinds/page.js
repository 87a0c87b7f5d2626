import Image from 'next/image'
import moving from '../../.assets/moving.gif'
import drawing from '../../.assets/drawing.svg'

const base = process.env.BASE

// What the optimizer passes on or never gets, and what it makes in another quality.
export default function Page() {
  return (
    <>
      <h1>Kinds</h1>
      <div className="row">
        <Image src={moving} alt="animated" />
        <Image src={`${base}/moving.gif`} alt="animated, public" width={200} height={150} />
        <Image src={drawing} alt="svg" />
        <Image src={`${base}/drawing.svg`} alt="svg, public" width={240} height={160} />
        <Image src={`${base}/raw.jpg`} alt="unoptimized" width={400} height={300} unoptimized />
        <Image src={`${base}/raw.jpg`} alt="half quality" width={400} height={300} quality={50} />
        <Image src={`${base}/badge.png`} alt="transparent" width={200} height={200} />
        <Image src={`${base}/badge.png`} alt="tiny" width={30} height={30} />
      </div>
    </>
  )
}
