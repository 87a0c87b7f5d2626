import Image, { getImageProps } from 'next/image'
import Link from 'next/link'
import tile from '../assets/tile.png'
import photo from '../assets/photo.jpg'

function Art() {
  const common = { alt: 'art', sizes: '100vw' }
  const { props: { srcSet: desktop } } = getImageProps({ ...common, width: 1440, height: 875, quality: 50, src: '/shop/hero.jpg' })
  const { props: { srcSet: mobile, ...rest } } = getImageProps({ ...common, width: 750, height: 1334, src: 'https://cdn.example/m.jpg?x=1&y=2' })
  return <picture><source media="(min-width: 1000px)" srcSet={desktop} /><img srcSet={mobile} {...rest} /></picture>
}

function Background() {
  const { props: { srcSet } } = getImageProps({ alt: '', width: 128, height: 128, src: '/shop/products/tile one.png' })
  const set = srcSet.split(', ').map((s) => { const [url, density] = s.split(' '); return `url("${url}") ${density}` }).join(', ')
  return <div style={{ backgroundImage: `image-set(${set})` }}>bg</div>
}

const poster = () => getImageProps({ alt: '', src: '/shop/hero.jpg', width: 64, height: 64 }).props.src

export default function Page() {
  return (
    <main>
      <Image src={photo} alt="" priority placeholder="blur" />
      <div style={{ position: 'relative' }}><Image src={tile} alt="" fill sizes="50vw" /></div>
      <Image src="https://cdn.example/remote, with comma.jpg" width={300} height={200} alt="" />
      <Image src="https://elsewhere.example/forbidden.jpg" width={300} height={200} alt="" />
      <Art />
      <Background />
      <Link href="/gallery">gallery</Link>
      <Image src="/shop/logo.svg" width={40} height={40} alt="" />
      <video poster={poster()} />
    </main>
  )
}
