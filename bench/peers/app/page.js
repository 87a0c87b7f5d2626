import Image from 'next/image'

// Rendered anew for every request, as a shop's list of products is.
export const dynamic = 'force-dynamic'

const products = Array.from({ length: 150 }, (_, i) => ({ id: i, name: `Product ${i}`, price: (i * 37) % 1000 }))

export default async function Page({ searchParams }) {
  const { v = '0' } = await searchParams
  const first = Number(v) % products.length
  const list = [...products.slice(first), ...products.slice(0, first)]
  return (
    <main>
      <h1>Products, page {v}</h1>
      <ul>
        {list.map((p) => (
          <li key={p.id}>
            <a href={`/?v=${p.id}`}>
              <Image src={`http://127.0.0.1/${p.id}.jpg`} width={160} height={120} alt={p.name} />
              <h2>{p.name}</h2>
              <p>
                {p.price.toFixed(2)} in stock: {p.id % 7}
              </p>
            </a>
          </li>
        ))}
      </ul>
    </main>
  )
}
