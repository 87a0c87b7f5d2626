import { getImageProps } from 'next/image'
import Tabs from './tabs'
import tile from '../../assets/tile.png'

// Nothing is shown before a click: what is asked for then is only in the payload (late), or only known to the client
// (tile, moving, tab.jpg).
export default function Page() {
  const { props } = getImageProps({ alt: '', src: 'https://cdn.example/late.jpg', width: 300, height: 200 })
  return <Tabs images={[tile]} extra="https://cdn.example/tab.jpg" late={props} />
}
