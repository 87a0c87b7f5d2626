-- ARGV: key, token, attempts, priority, pause, time left or '', this replica if it waits for the job, else ''.
local r = record(ARGV[1])
if r and r.z == ARGV[2] then return 1 end -- told twice, because the first answer was lost
if not holds(r, ARGV[2]) then return 0 end
displace(r)
if ARGV[7] ~= '' then await(r, ARGV[7]) end
local deadline = ARGV[6] == '' and 0 or now + tonumber(ARGV[6])
-- those who began to wait meanwhile may have more time
r.a, r.p, r.x = tonumber(ARGV[3]), ARGV[4], r.w == '' and deadline or math.max(deadline, r.x)
if r.w ~= '' then r.p = '0' end
r.z = ARGV[2]
place(r, now + tonumber(ARGV[5]))
store(r)
return 1
