'use client'
import Image from 'next/image'
import { useState } from 'react'
import moving from '../../assets/moving.gif'

export default function Tabs({ images, extra, late }) {
  const [open, set] = useState(false)
  return (
    <div onClick={() => set(true)}>
      tabs {open && [...images, moving].map((i) => <Image key={i.src} src={i} alt="" />)}
      {open && <Image src={extra} width={90} height={80} alt="" />}
      {open && <img {...late} />}
    </div>
  )
}
