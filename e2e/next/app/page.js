import Image from 'next/image'
import tile from '../.assets/tile.png'
import photo from '../.assets/photo.jpg'
import moving from '../.assets/moving.gif'
import drawing from '../.assets/drawing.svg'

// Static imports: they make /_next/static/media, whose images are served as immutable.
export default function Page() {
  return [tile, photo, moving, drawing].map((image) => <Image key={image.src} src={image} alt="" />)
}
