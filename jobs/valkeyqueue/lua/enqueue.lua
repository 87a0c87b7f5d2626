-- ARGV: key, priority, replica, item, kind, age, time left or '', anew, limit, share of one origin, shard,
-- trace. An item that joins a job which is done for others is told their trace.
-- No flag allows it to run when memory is full: a new job would only make that worse.
local key, p, replica, item, kind, trace = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[12]
local deadline = ARGV[7] == '' and 0 or now + tonumber(ARGV[7])
-- The limit is for each process that works: more of them do as much more in the same time.
local limit, share, shard = tonumber(ARGV[9]) * math.max(1, call('ZCARD', B .. 'l')), tonumber(ARGV[10]), ARGV[11]
-- Below so many no wait is estimated: a few jobs say nothing about a pace.
local FEW, HOUR = 32, 3600000000

-- refuse returns the answer if there is no room, or too long a wait. See schedule.room in package jobs.
local function refuse(p, h)
  local delayed = call('ZCARD', B .. 'd' .. p)
  local total, own = delayed, 0
  for i = 0, SHARDS - 1 do
    local n = ready(p, i)
    total = total + n
    if tostring(i) == h then own = n + 1 end
  end
  if total >= limit then return { 'F' } end
  if own > 1 and share < 1 and own * (1 - share) > (limit - total - 1) * share + 1e-9 then return { 'G' } end
  local ahead = total - delayed
  if p == '0' and deadline > 0 and ahead > FEW then
    local pace = call('HMGET', B .. 'm', 'pace', 'paceAt')
    if pace[1] and now - tonumber(pace[2]) < 60000000 then
      local wait = math.min(HOUR, ahead / math.max(tonumber(pace[1]), 1e-3) * 1000000)
      if now + wait > deadline then return { 'T', num(wait) } end
    end
  end
end

local r = record(key)
if not r then
  if p == '0' and ARGV[8] ~= '1' then
    local kept = call('GET', B .. 'o' .. key)
    local kind = kept and string.sub(kept, 1, 1)
    if kind == 'd' or kind == 's' then return { 'O', kept } end
  end
  local no = refuse(p, shard)
  if no then return no end
  r = { key = key, p = p, h = shard, a = 0, n = now - tonumber(ARGV[6]), x = deadline, b = p == '1', w = '' }
  if p == '0' then await(r, replica) end
  call('UNLINK', B .. 'o' .. key, B .. 'j' .. key)
  place(r, 0)
  store(r, 'i', item, 'k', kind, 'c', trace)
  return { 'N' }
end
if p == '1' then
  call('HSET', B .. 'j' .. key, 'b', '1')
  return { 'J' }
end
if r.p == '1' and r.s ~= 'l' then
  local no = refuse('0', r.h)
  if no then return no end
  local at = displace(r)
  r.p, r.x = '0', deadline
  place(r, at)
else
  if r.p == '1' then hurry(r, replica) end
  kind = nil -- what it is done for stays
  r.x = math.max(r.x, deadline)
end
await(r, replica)
if kind then
  store(r, 'k', kind, 'c', trace)
  return { 'J' }
end
store(r)
return { 'J', call('HGET', B .. 'j' .. key, 'c') or '' }
