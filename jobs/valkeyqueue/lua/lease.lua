-- ARGV: priority, replica, token, milliseconds, for each priority a digit per shard: 1 where this process may have no more.
local p, replica, token, ttl, full = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), { ['0'] = ARGV[5], ['1'] = ARGV[6] }
-- A replica that is not known has left, or is taken for dead: what it leases nobody would look after.
if not call('ZSCORE', B .. 'r', replica) then return { 'B' } end
due(16)

local function isFull(p, h) return string.sub(full[p], h + 1, h + 1) == '1' end

local closed, heldBack = {}, false
if p == '1' then
  for h = 0, SHARDS - 1 do
    if ready('0', h) > 0 then
      if isFull('0', h) then closed[h] = true else heldBack = true end
    end
  end
end

local stale = 0
while not heldBack and stale < 64 do
  local shard, ms, seq, others = nil, nil, nil, 0
  for h = 0, SHARDS - 1 do
    if not closed[h] and not isFull(p, h) then
      local n, _, last = ready(p, h)
      local id = n > 0 and first(p, h, last)
      if id then
        others = others + n
        local m, s = parse(id)
        if not shard or m < ms or m == ms and s < seq then shard, ms, seq = h, m, s end
      end
    end
  end
  if not shard then break end
  local stream = line(p, shard)
  local got = call('XREADGROUP', 'GROUP', 'w', replica, 'COUNT', 1, 'STREAMS', stream, '>')
  if not got then break end
  local id, key = got[1][2][1][1], got[1][2][1][2][2]
  local r = record(key)
  if r and r.s == 'q' and r.e == id then
    call('XCLAIM', stream, 'w', replica, 0, id, 'IDLE', num(EXPIRED - ttl), 'JUSTID')
    r.a = r.a + 1
    call('HSET', B .. 'j' .. key, 's', 'l', 't', token, 'u', num(now + ttl * 1000), 'a', num(r.a))
    if p == '0' and others == 1 and call('HDEL', B .. 'm', 'held') == 1 then call('SPUBLISH', B .. 'w', '1') end
    local more = call('HMGET', B .. 'j' .. key, 'i', 'k', 'c')
    return { 'L', key, more[1] or '', more[2] or '', num(r.a), r.p, r.h, num(now - r.n), r.x == 0 and '' or num(r.x - now),
      stale, more[3] or '' }
  end
  discard(stream, id)
  stale = stale + 1
end

if heldBack then call('HSET', B .. 'm', 'held', '1') end -- who leases the last of the people's jobs tells
local wait = -1
for _, q in ipairs({ '0', '1' }) do
  local n = call('ZRANGE', B .. 'd' .. q, 0, 0, 'WITHSCORES')
  if n[2] and (wait < 0 or tonumber(n[2]) - now < wait) then wait = math.max(0, tonumber(n[2]) - now) end
end
return { 'E', num(wait), stale }
