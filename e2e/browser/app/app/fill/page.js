import Image, { getImageProps } from 'next/image'

const base = process.env.BASE

// Images that fill their box, and a picture element whose sources differ by the window's width.
export default function Page() {
  const wide = getImageProps({ src: `${base}/wide.jpg`, alt: 'art', width: 1400, height: 600, sizes: '100vw' }).props
  const { srcSet, ...tall } = getImageProps({ src: `${base}/tall.jpg`, alt: 'art', width: 600, height: 800, sizes: '100vw' }).props
  return (
    <>
      <h1>Fill</h1>
      <div className="two">
        <div className="box">
          <Image src={`${base}/wide.jpg`} alt="cover" fill preload sizes="50vw" style={{ objectFit: 'cover' }} />
        </div>
        <div className="box">
          <Image src={`${base}/badge.png`} alt="contain" fill sizes="50vw" style={{ objectFit: 'contain' }} />
        </div>
      </div>
      <div className="box" style={{ marginTop: 12 }}>
        <Image src={`${base}/tall.jpg`} alt="whole width" fill style={{ objectFit: 'cover' }} />
      </div>
      <picture>
        <source media="(min-width: 700px)" srcSet={wide.srcSet} sizes="100vw" />
        <source srcSet={srcSet} sizes="100vw" />
        <img {...tall} className="fit" style={{ marginTop: 12 }} />
      </picture>
    </>
  )
}
