import Image from 'next/image'
import hero from '../.assets/hero.jpg'
import lake from '../.assets/lake.png'
import dusk from '../.assets/dusk.webp'
import dawn from '../.assets/dawn.avif'

// Static imports: a blur placeholder made by the build, one image that is preloaded, sizes and fixed widths.
export default function Page() {
  return (
    <>
      <h1>Static imports</h1>
      <Image src={hero} alt="hero" placeholder="blur" priority sizes="100vw" className="fit" />
      <div className="row" style={{ marginTop: 12 }}>
        <Image src={lake} alt="lake" placeholder="blur" sizes="(max-width: 700px) 100vw, 33vw" className="fit" />
        <Image src={dusk} alt="dusk" placeholder="blur" sizes="(max-width: 700px) 100vw, 33vw" className="fit" />
        <Image src={dawn} alt="dawn" placeholder="blur" width={320} height={229} />
      </div>
    </>
  )
}
