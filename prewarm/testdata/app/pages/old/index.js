import Image, { getImageProps } from 'next/image'
import Legacy from 'next/legacy/image'
import photo from '../../assets/photo.jpg'

export function getStaticProps() {
  const { props } = getImageProps({ alt: '', src: 'https://cdn.example/later.jpg', width: 60, height: 40 })
  return { props: { later: props.srcSet } }
}

export default function Page() {
  return <div><Image src={photo} alt="" priority /><Legacy src="https://cdn.example/legacy.jpg" width={320} height={200} alt="" /></div>
}
