import Image, { getImageProps } from 'next/image'
import { preload } from 'react-dom'

export function generateStaticParams() { return [{ id: 'a' }, { id: 'b' }] }

export default async function Page({ params }) {
  const { id } = await params
  const { props } = getImageProps({ alt: '', src: `https://cdn.example/pre-${id}.jpg`, width: 200, height: 200 })
  preload(props.src, { as: 'image', imageSrcSet: props.srcSet, imageSizes: props.sizes })
  return <Image src={`https://cdn.example/p/${id}.jpg`} width={640} height={400} alt={id} preload />
}
