-- ARGV: replica, 1 for a worker, after how many milliseconds of silence a replica is dead.
local replica, worker, grace = ARGV[1], ARGV[2], tonumber(ARGV[3]) * 1000
local m = call('HMGET', B .. 'm', 'tick', 'since', 'done', 'pace', 'paceAt', 'from', 'fromDone', 'half', 'halfDone')
local ticked, since, done = tonumber(m[1] or 0), tonumber(m[2] or 0), tonumber(m[3] or 0)
-- While the server was away nobody could show that he lives: everybody gets the whole time again.
if now - ticked > grace / 2 or ticked > now then since = now end
call('HSET', B .. 'm', 'tick', num(now), 'since', num(since))

local known = call('ZSCORE', B .. 'r', replica) and 1 or 0
call('ZADD', B .. 'r', num(now), replica)
if worker == '1' then call('ZADD', B .. 'l', num(now), replica) end

due(100)
local reclaimed = 0
if now - since >= grace then
  for _, dead in ipairs(call('ZRANGE', B .. 'r', '-inf', num(now - grace), 'BYSCORE', 'LIMIT', 0, 4)) do
    local more = false
    for p = 0, 1 do
      for h = 0, SHARDS - 1 do
        local stream = line(p, h)
        if call('EXISTS', stream) == 1 then
          group(stream)
          local some = pended(stream, dead, 50, function(id, key)
            if reclaim(stream, id, key) then reclaimed = reclaimed + 1 end
          end)
          if some then more = true else call('XGROUP', 'DELCONSUMER', stream, 'w', dead) end
        end
      end
    end
    if not more then
      call('ZREM', B .. 'r', dead)
      call('ZREM', B .. 'l', dead)
    end
  end
end
for p = 0, 1 do
  for h = 0, SHARDS - 1 do
    local _, pending = ready(p, h)
    if pending > 0 then
      local stream = line(p, h)
      local expired = call('XAUTOCLAIM', stream, 'w', replica, EXPIRED, '0', 'COUNT', 100)
      for _, entry in ipairs(expired[2]) do
        if reclaim(stream, entry[1], entry[2][2]) then reclaimed = reclaimed + 1 end
      end
    end
  end
end

local list = {
  known, call('ZCOUNT', B .. 'r', num(now - grace), '+inf'), call('ZCOUNT', B .. 'l', num(now - grace), '+inf'), reclaimed, '',
  call('XLEN', B .. 'x')
}
local people, busy = stats(list)
-- The pace is what the workers have done in the last 5 to 10 s, in which they had no lack of work. It is known when that
-- is a number, or long enough. What they have begun ends within half a minute, however slow it is.
local SECOND = 1000000
local pace, paceAt = tonumber(m[4] or 0), tonumber(m[5] or 0)
local from, fromDone, half, halfDone = tonumber(m[6] or now), tonumber(m[7] or done), tonumber(m[8] or now), tonumber(m[9] or done)
if people == 0 or not m[6] or now < half or now - half > 20 * SECOND then
  from, fromDone, half, halfDone = now, done, now, done
elseif now - half >= 5 * SECOND then
  from, fromDone, half, halfDone = half, halfDone, now, done
end
local n, span = done - fromDone, now - from
if people > 0 and (span >= SECOND and n >= 8 or span >= 8 * SECOND) then
  pace, paceAt = math.max(n / span * SECOND, busy / 30), now
end
call('HSET', B .. 'm', 'pace', string.format('%.6f', pace), 'paceAt', num(paceAt), 'from', num(from), 'fromDone', num(fromDone),
  'half', num(half), 'halfDone', num(halfDone))
if now - paceAt < 60 * SECOND then list[5] = string.format('%.6f', pace) end
return list
