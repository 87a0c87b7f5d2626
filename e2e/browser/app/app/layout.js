export const metadata = { title: 'imgopt', icons: { icon: `${process.env.BASE}/icon.png` } }
export const viewport = { width: 'device-width', initialScale: 1 }

const style = `
body { margin: 0; font: 16px/1.4 sans-serif; background: #fff; color: #222 }
main { padding: 12px }
nav a { margin-right: 12px }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 12px }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 12px }
.box { position: relative; aspect-ratio: 16 / 9; background: #ddd }
.fit { width: 100%; height: auto; display: block }`

// Plain links, for a router of the application would load pages before anybody asks for them.
export default function Layout({ children }) {
  const base = process.env.BASE
  const end = base ? '/' : '' // trailingSlash
  return (
    <html lang="en">
      <head>
        <style>{style}</style>
      </head>
      <body>
        <main>
          <nav>
            <a href={`${base}/`}>home</a>
            {['fill', 'kinds', 'remote', 'gallery'].map((page) => (
              <a key={page} href={`${base}/${page}${end}`}>
                {page}
              </a>
            ))}
          </nav>
          {children}
        </main>
      </body>
    </html>
  )
}
